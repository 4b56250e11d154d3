#!/usr/bin/env bash
# Install what the tests on a real Kubernetes API need (Debian, Ubuntu), and start none of it.
#
# Debian has packages for etcd and kubectl, but only the source of Kubernetes itself. This script builds
# Kubernetes once, into ~/.cache/prl-submit. If KUBEBUILDER_ASSETS names a folder with the programs, the
# tests use those.
set -euo pipefail

version=1.20.2
source_package=kubernetes=1.20.5+really1.20.2-1.1+deb12u1
built=(kube-apiserver kube-controller-manager kube-scheduler)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/prl-submit/kubernetes-$version
assets=${KUBEBUILDER_ASSETS:-}

has() { # PROGRAM: in one of the places where the tests look
  [[ $assets && -x $assets/$1 ]] || [[ -x $cache/$1 ]] ||
    PATH=$PATH:/usr/sbin:/sbin command -v "$1" >/dev/null
}

missing() { # PROGRAM...: those that are not there
  local program
  for program; do
    has "$program" || echo "$program"
  done
}

fail() {
  echo "tools/install-kubernetes.sh: $*" >&2
  exit 1
}

install_programs() {
  local packages=()
  has etcd || packages+=(etcd-server)
  has kubectl || packages+=(kubernetes-client)
  has openssl || packages+=(openssl)
  has ip || packages+=(iproute2)
  [[ ${#packages[@]} == 0 ]] || packages_for "${packages[@]}"
}

packages_for() {
  "$(dirname "$0")/install-packages.sh" kubernetes "$@"
}

# Lists of Debian's source packages, from the same servers as the machine's packages. They are kept in a
# folder of their own, so that the machine's lists do not change.
source_lists() { # FOLDER
  local keyring=/usr/share/keyrings/debian-archive-keyring.gpg signed=
  [[ ! -e $keyring ]] || signed="[signed-by=$keyring] "
  # apt replaces these names, not the shell
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' \
    'Created-By: Packages' 'Origin: Debian' | sort -u | sed "s|^|deb-src $signed|" >"$1/sources.list"
  if [[ ! -s $1/sources.list ]]; then
    echo "apt has no Debian server on this machine: put ${built[*]} into a folder and name it in KUBEBUILDER_ASSETS"
    return 1
  fi
  mkdir -p "$1/lists/partial" "$1/archives/partial"
  source_options=(-o "Dir::Etc::SourceList=$1/sources.list" -o Dir::Etc::SourceParts=-
    -o "Dir::State::Lists=$1/lists" -o "Dir::Cache=$1" -qq)
  apt-get "${source_options[@]}" update
}

fetch_source() { # FOLDER: Debian's kubernetes with Debian's patches, in FOLDER/src/k8s.io/kubernetes
  mkdir -p "$1/apt" "$1/src/k8s.io"
  source_lists "$1/apt"
  cd "$1"
  apt-get "${source_options[@]}" source --download-only "$source_package"
  apt-get download golang-github-modern-go-reflect2-dev
  dpkg-source --no-check -x kubernetes_*.dsc src/k8s.io/kubernetes
  dpkg -x golang-github-modern-go-reflect2-dev_*.deb reflect2
  # With the reflect2 in Kubernetes' source and Go 1.19, the API server crashes at the first object of a
  # custom kind. Debian's reflect2 works.
  rm -rf src/k8s.io/kubernetes/vendor/github.com/modern-go/reflect2
  mv reflect2/usr/share/gocode/src/github.com/modern-go/reflect2 \
    src/k8s.io/kubernetes/vendor/github.com/modern-go/
}

# Make a source file of the API server that is not in the package, as Kubernetes' own Makefile does.
generate_openapi() { # FOLDER
  local folders
  go build -o "$1/openapi-gen" k8s.io/kubernetes/vendor/k8s.io/kube-openapi/cmd/openapi-gen
  folders=$(grep -rl --include=*.go '+k8s:openapi-gen=' cmd pkg plugin staging/src/k8s.io |
    grep -vE 'staging/src/k8s.io/(code-generator|sample-apiserver)/|_test.go' |
    xargs -n1 dirname | LC_ALL=C sort -u |
    sed 's#^staging/src/#vendor/#; s#^#k8s.io/kubernetes/#' | paste -sd,)
  "$1/openapi-gen" --logtostderr -i "$folders" -p k8s.io/kubernetes/pkg/generated/openapi \
    -O zz_generated.openapi -h vendor/k8s.io/code-generator/hack/boilerplate.go.txt \
    -r "$1/violations" 2>/dev/null
}

compile() { # FOLDER: the programs, in FOLDER/bin
  local flags="-s -w" name programs=("${built[@]/#/k8s.io/kubernetes/cmd/}")
  for name in client-go/pkg/version component-base/version; do
    name=k8s.io/kubernetes/vendor/k8s.io/$name
    flags+=" -X $name.gitVersion=v$version -X $name.gitMajor=1 -X $name.gitMinor=20"
  done
  # GOGC=400: the compiler collects garbage less often and is faster.
  export GO111MODULE=off GOPATH=$1 GOCACHE=$1/go-cache GOFLAGS='' CGO_ENABLED=0 GOGC=400
  cd "$1/src/k8s.io/kubernetes"
  generate_openapi "$1"
  mkdir "$1/bin"
  go build -ldflags "$flags" -o "$1/bin/" "${programs[@]}"
}

build() {
  local code
  mkdir -p "$(dirname "$cache")"
  exec 8>"$cache.lock"
  flock 8 # if another process is building, wait for it and use its programs
  [[ $(missing "${built[@]}") ]] || return 0
  folder=$(mktemp -d) # not local, because the trap runs outside of this function
  trap 'rm -rf "$folder"' EXIT
  trap 'exit 130' INT TERM HUP
  set +e # not `if ! (...)`, because inside of `if` bash ignores `set -e`
  (
    set -e
    packages_for golang-go dpkg-dev
    fetch_source "$folder"
    compile "$folder"
  ) >"$folder/log" 2>&1 </dev/null 8>&-
  code=$?
  set -e
  if [[ $code != 0 ]]; then
    tail -n 20 "$folder/log" >&2
    fail "building Kubernetes failed"
  fi
  # Copy into the cache's file system first, then rename: so a folder with this name is always complete.
  rm -rf "$cache" "$cache.part"
  mv "$folder/bin" "$cache.part"
  mv "$cache.part" "$cache"
}

all=(etcd kubectl openssl ip "${built[@]}")
[[ $(missing "${all[@]}") ]] || exit 0
if [[ $(missing "${built[@]}") ]]; then
  echo "building Kubernetes $version for the tests, once: 400 MB to fetch, about 3 minutes"
else
  echo "installing etcd and kubectl for the tests: about 100 MB"
fi
install_programs
[[ ! $(missing "${built[@]}") ]] || build
left=$(missing "${all[@]}")
[[ ! $left ]] || fail "still missing: ${left//$'\n'/ }"
