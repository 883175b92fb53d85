"""Create and rotate the secrets of the proxies before Chroma and Ollama (infra/proxy.yaml).

`STACK/token` has the `token` and the `certificates` that the functions trust. `STACK/pair` has the
`certificate` and its `key`, and in `balancer` the ARN of their copy in ACM, which the load balancer uses.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta

import boto3
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from infra.container.sam import StepError, aws_errors

# Only the stack's functions trust the pair, and a rotation replaces it, so a long validity is safe.
_VALID = timedelta(days=3650)
# Clocks of new servers may be late.
_BEFORE = timedelta(days=1)
# How often a server reads the secrets: the timer of infra/proxy.yaml.
SERVERS_READ_S = 300.0
# How long a function keeps a secret that it read: docwell/adapters/server_auth.py.
FUNCTIONS_READ_S = 300.0
_SLACK_S = 60.0
_NO_USES = (
    *("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "key_cert_sign", "crl_sign"),
    *("encipher_only", "decipher_only"),
)


def servers_of(stack: str) -> tuple[str, str]:
    """Return the names of the stack's Chroma and Ollama, as infra/servers.yaml gives them."""
    return f"chroma.{stack}.internal", f"ollama.{stack}.internal"


def new_pair(stack: str, now: datetime) -> tuple[str, str]:
    """Return a self-signed certificate for the stack's servers, and its key, both in PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "docwell servers")])
    names = x509.SubjectAlternativeName([x509.DNSName(server) for server in servers_of(stack)])
    identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
    usage = x509.KeyUsage(digital_signature=True, **dict.fromkeys(_NO_USES, False))
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BEFORE)
        .not_valid_after(now + _VALID)
        .add_extension(names, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(identifier, critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(key, hashes.SHA256())
    )
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return certificate.public_bytes(Encoding.PEM).decode(), text


class ServerSecrets:
    """The secrets of one stack. Every method raises `StepError` for an error of AWS."""

    def __init__(self, stack: str, pause: Callable[[float], None] = time.sleep) -> None:
        """Make no call yet."""
        self._stack, self._pause = stack, pause
        self._token, self._pair = f"{stack}/token", f"{stack}/pair"
        self._secrets, self._acm = boto3.client("secretsmanager"), boto3.client("acm")

    def ensure(self, parameters: Mapping[str, str]) -> None:
        """Create the secrets that do not exist, if the parameters create a server."""
        if "" not in (parameters["ChromaUrl"], parameters["OllamaUrl"]):
            return
        kms_key = parameters["KmsKeyArn"]
        with aws_errors(f"the secrets of {self._stack}"):
            pair = self._read(self._pair)
            if pair is None:
                pair = self._imported(*new_pair(self._stack, datetime.now(UTC)))
                self._create(self._pair, pair, kms_key)
            if self._read(self._token) is None:
                token = {"token": secrets.token_hex(32), "certificates": pair["certificate"]}
                self._create(self._token, token, kms_key)

    def rotate(self) -> None:
        """Replace the token and the pair while the stack answers, in about 18 minutes.

        First the servers accept the new token too. Then the functions use it, and trust the new pair. Last the
        servers and the load balancer use the new pair.
        """
        with aws_errors(f"the secrets of {self._stack}"):
            pair = self._read(self._pair)
            if pair is None:
                raise StepError(f"{self._pair} does not exist: deploy the stack first")
            certificate, key = new_pair(self._stack, datetime.now(UTC))
            token = {"token": secrets.token_hex(32), "certificates": pair["certificate"] + certificate}
            was = self._secrets.get_secret_value(SecretId=self._token)["VersionId"]
            now = self._put(self._token, token, "AWSPENDING")
            self._pause(SERVERS_READ_S + _SLACK_S)
            self._secrets.update_secret_version_stage(
                SecretId=self._token, VersionStage="AWSCURRENT", MoveToVersionId=now, RemoveFromVersionId=was
            )
            self._secrets.update_secret_version_stage(
                SecretId=self._token, VersionStage="AWSPENDING", RemoveFromVersionId=now
            )
            self._pause(FUNCTIONS_READ_S + _SLACK_S)
            self._put(self._pair, self._imported(certificate, key, pair["balancer"]), "AWSCURRENT")
            self._pause(SERVERS_READ_S + _SLACK_S)

    def _imported(self, certificate: str, key: str, balancer: str | None = None) -> dict[str, str]:
        """Import a pair into ACM, in place of the certificate `balancer`; return the pair's secret."""
        certificate_arn = {"CertificateArn": balancer} if balancer else {}
        imported = self._acm.import_certificate(Certificate=certificate, PrivateKey=key, **certificate_arn)
        return {"certificate": certificate, "key": key, "balancer": imported["CertificateArn"]}

    def _read(self, name: str) -> dict[str, str] | None:
        try:
            secret = self._secrets.get_secret_value(SecretId=name)
        except self._secrets.exceptions.ResourceNotFoundException:
            return None
        except self._secrets.exceptions.InvalidRequestException:  # it would be deleted within 30 days
            self._secrets.restore_secret(SecretId=name)
            secret = self._secrets.get_secret_value(SecretId=name)
        return dict(json.loads(secret["SecretString"]))

    def _create(self, name: str, secret: Mapping[str, str], kms_key: str) -> None:
        options = {"KmsKeyId": kms_key} if kms_key else {}
        self._secrets.create_secret(Name=name, SecretString=json.dumps(secret), **options)

    def _put(self, name: str, secret: Mapping[str, str], stage: str) -> str:
        """Store a new version of a secret; return its id."""
        put = self._secrets.put_secret_value(SecretId=name, SecretString=json.dumps(secret), VersionStages=[stage])
        return str(put["VersionId"])
