"""A frame, a file, a thread or a folder may be named after a secret; it loses that and stays recognisable."""

from __future__ import annotations

import random

import pytest

from monitord.redaction import HIDDEN, redact_name
from tests.redaction.command_lines import secrets_of

NAMES = [
    "/mnt/bob:%S@nas/app/main.py", "/mnt/smb/DOM/bob:%S@nas/x.py", "/tmp/sess_%H", "/var/lib/php/sessions/sess_%H", "/srv/password-%S/app.py",
    "/srv/password_%S", "/run/token-%T", "/tmp/secret.%H~x/token_%H", "/opt/api_key-%H/bin/x", "/data/pwd-%S/x.so", "worker password=%S",
    "conn https://bob:%S@db/x", "conn postgres://bob:%S@db", "GET /a?token=%T", "Bearer %T", "poll Authorization: Bearer %T", "thread-%T",
    "login bob:%S@host", "session_%H", "sid=%H", "job token=%H", "X-Api-Key: %H", "handler[api_key=%S]", "/cache/%T/mod.py", "cred_%S",
    "mqtt://bob:%S@mq (client.py)", "amqp%3A%2F%2Fbob%3A%S%40mq", "/proc/self/cwd/https:/bob:%S@h/x.py", "secret-%S", "pass-phrase=%S",
]  # fmt: skip
HARMLESS = [
    "check_password", "TokenBucket.take", "get_token", "auth.session.SessionManager.load", "password_hash", "secret_store.rs", "reset-password.py",
    "/srv/passwords/app.py", "/usr/lib/python3.11/site-packages/jwt/api_jwt.py", "/app/token_utils.py", "/app/session_manager/key_derivation.c",
    "std::__1::vector<int, std::__1::allocator<int> >::push_back(int&&)", "_ZNSt6vectorIiSaIiEE17_M_realloc_insertIJRKiEEEvN9__gnu_cxx17__normal_iteratorIPiS1_EEDpOT_",
    "core::ptr::drop_in_place::h0123456789abcdef", "main.(*Server).Token", "LazyCompile:*compareSecret /app/x.js:10:3", "lambda$main$0", "com.example.PasswordEncoder$1.run",
    "kworker/u8:3-events_unbound", "ThreadPoolExecutor-0_3", "http-nio-8080-exec-10", "tokio-runtime-w", "Compositor/1", "asyncio_0", "grpc-default-executor-12",
    "/opt/python/3.11.7/lib/libpython3.11.so.1.0", "[kernel.kallsyms]", "do_syscall_64", "<frozen importlib._bootstrap>", "/node_modules/.pnpm/react@18.2.0/index.js",
    "/nix/store/9l1p0r4k2vx8zq7b3m6n5c4d1f0g2h3j-glibc-2.38/lib/libc.so.6", "/tmp/torchinductor_root/ab/cabxq4u7kz3w5m2n6p7r3t5v7x2z4b6d7f3h5j2l4n6p7r3t5v.py",
    "/snap/core22/1234/usr/lib/x86_64-linux-gnu/libcrypto.so.3", "operator new[](unsigned long)", "__pthread_mutex_lock@GLIBC_2.2.5", "/app/password-reset-2024-01-31.py",
    "java.security.KeyStore.load", "org.apache.tomcat.util.threads.TaskThread$WrappingRunnable.run", "EVP_PKEY_get1_RSA", "uvloop/loop.pyx", "pin_memory_loop",
]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_in_a_name_is_hidden(name: str) -> None:
    for seed in range(10):
        planted = {kind: secret for kind, secret in secrets_of(random.Random(seed)).items() if kind in name}
        shown = name
        for kind, secret in planted.items():
            shown = shown.replace(kind, secret)
        shown = redact_name(shown)
        assert not any(secret in shown for secret in planted.values()), shown
        assert HIDDEN in shown
        assert redact_name(shown) == shown


@pytest.mark.parametrize("name", HARMLESS)
def test_an_ordinary_name_stays(name: str) -> None:
    assert redact_name(name) == name
