"""The certificates of a test cluster, made with openssl. Elliptic keys take milliseconds."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import NamedTuple

LOOPBACK = "DNS:localhost,IP:127.0.0.1"


class Certificate(NamedTuple):
    """The content of a certificate. Its files are NAME.crt and NAME.key."""

    name: str
    subject: str
    use: str
    hosts: str = ""


CERTIFICATES = (
    Certificate(
        "apiserver",
        "/CN=kube-apiserver",
        "serverAuth",
        f"{LOOPBACK},DNS:kubernetes,DNS:kubernetes.default.svc,IP:10.0.0.1",
    ),
    Certificate("admin", "/O=system:masters/CN=admin", "clientAuth"),
    Certificate("controller-manager", "/CN=system:kube-controller-manager", "clientAuth"),
    Certificate("scheduler", "/CN=system:kube-scheduler", "clientAuth"),
    Certificate("apiserver-kubelet", "/O=system:masters/CN=kubelet-client", "clientAuth"),
    Certificate("kubelet", "/O=system:nodes/CN=system:node:nodes", "serverAuth", LOOPBACK),
)


def make_certificates(folder: Path) -> None:
    """Make a certificate authority (`ca`), the certificates it signs, and the key of service accounts."""
    folder.mkdir(parents=True)
    _make_key(folder, "ca")
    _openssl(folder, "req -x509 -new -key ca.key -subj /CN=prl-test -days 30 -out ca.crt")
    for certificate in CERTIFICATES:
        _sign(folder, certificate)
    # RSA, because the API server of 1.20 does not verify its old kind of token with another key.
    _openssl(folder, "genrsa -out accounts.key 2048")
    _openssl(folder, "rsa -in accounts.key -pubout -out accounts.pub")


def _make_key(folder: Path, name: str) -> None:
    """Make NAME.key."""
    _openssl(folder, f"ecparam -name prime256v1 -genkey -noout -out {name}.key")


def _sign(folder: Path, certificate: Certificate) -> None:
    """Make NAME.key and NAME.crt."""
    name = certificate.name
    extensions = ["basicConstraints=CA:FALSE", f"extendedKeyUsage={certificate.use}"]
    if certificate.hosts:
        extensions.append(f"subjectAltName={certificate.hosts}")
    (folder / f"{name}.ext").write_text("\n".join(extensions))
    _make_key(folder, name)
    _openssl(folder, f"req -new -key {name}.key -subj {certificate.subject} -out {name}.csr")
    _openssl(
        folder,
        f"x509 -req -in {name}.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 30"
        f" -extfile {name}.ext -out {name}.crt",
    )


def _openssl(folder: Path, words: str) -> None:
    """Run openssl."""
    subprocess.run(["openssl", *words.split()], cwd=folder, check=True, capture_output=True)
