{% if modules %}
prl_doing="loading modules"
prl_find_modules
if [[ -n $prl_modules ]]; then
  prl_lend_shell
  source "$prl_modules" || true
  prl_take_back
  prl_own_shell
fi
prl_require_modules
{% for module in modules %}
prl_lend_shell
module load {{ module|bash }} || prl_fail 78 {{ ("environment.modules: 'module load " ~ module ~ "' failed")|bash }}
prl_take_back
{% endfor %}
prl_own_shell
{% endif %}
{% if conda %}
prl_find_conda {{ conda|bash }} {{ conda_root|bash }}
if [[ -n $prl_conda ]]; then
  prl_lend_shell
  source "$prl_conda/etc/profile.d/conda.sh" || true
  conda activate {{ conda|bash }} || prl_no_such_conda_environment
  prl_take_back
fi
prl_require_conda
{% endif %}
{% if venv %}
prl_find_venv {{ venv|bash }} # a path that is not absolute begins in prl_workdir
prl_lend_shell
source "$prl_venv/bin/activate" || true
prl_take_back
prl_require_venv
{% endif %}
export PYTHONUTF8=1 # paths and logs are UTF-8, whatever the node's locale
{% for name, value in exports|items %}
export {{ name|bash }}={{ value|bash }}
{% endfor %}
{% if visible %}
export CUDA_VISIBLE_DEVICES={{ visible|bash }}
{% endif %}
{% if secrets %}
prl_require_secrets {{ secrets|bash_words }}
{% endif %}
{% for line in setup %}

prl_lend_shell {{ ("running environment.setup line " ~ loop.index ~ ": " ~ line)|bash }}
{{ line|verbatim }}

prl_take_back
{% endfor %}
prl_end_environment
