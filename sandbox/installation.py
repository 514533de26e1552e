"""What an installation with the sandbox adds to its settings: `NAME=value` lines for the start script."""

import json
from collections.abc import Iterator

from sandbox.settings import SandboxSettings, browser_arguments

BANNER = "Simulador: nada de esto es WhatsApp, OpenAI ni correo real · Sandbox: none of this is the real thing"


def describe(settings: SandboxSettings) -> Iterator[str]:
    """The sandbox as an environment that clients can choose, its mailbox as the mail server, and its ports."""
    http = f"http://localhost:{settings.port}"
    environment = {
        "name": "sandbox",
        "label": "Simulador (sandbox)",
        "whatsapp_web_url": "https://web.whatsapp.com/",
        "browser_arguments": browser_arguments(settings.host, settings.tls_port),
        "openai_base_url": f"http://{settings.host}:{settings.port}/openai/v1",
        "banner": BANNER,
        "links": {"Teléfono": f"{http}/phone/", "Correo": f"{http}/mail", "OpenAI": f"{http}/openai"},
    }
    yield f"FLAME_SANDBOX_PORT={settings.port}"
    yield f"FLAME_SANDBOX_TLS_PORT={settings.tls_port}"
    yield f"FLAME_SANDBOX_SMTP_PORT={settings.smtp_port}"
    yield f"FLAME_ENVIRONMENTS={json.dumps([environment], ensure_ascii=False)}"
    yield f"FLAME_SMTP_HOST={settings.host}"
    yield f"FLAME_SMTP_PORT={settings.smtp_port}"
    yield "FLAME_SMTP_SECURITY=none"
