"""What things may cost, in numbers that no machine changes. Lower one when it has become cheaper."""

# Commands that the database is asked for, by what is asked; the same with three clients and with thirty.
COMMANDS = {
    "GET /admin": 9,
    "GET /admin/fragment": 9,
    "GET /admin/clients/{client}": 10,
    "GET /admin/clients/{client}/fragment": 6,
    "GET /admin/clients/{client}/chats": 7,
    "GET /admin/clients/{client}/chats/{chat}": 6,
    "GET /admin/audit": 5,
    "GET /admin/cleanup": 3,
    "GET /client/{slug}": 5,
    "GET /api/client/{slug}/status": 4,
    "GET /api/admin/clients/{client}": 2,
    "GET /api/admin/clients": 2,
    "POST /api/admin/clients": 6,
    "a heartbeat": 3,
    "200 messages in one delivery": 12,
    "200 acknowledgements in one delivery": 8,
    "a message with its acknowledgement": 6,
}

# Modules in a runner before its browser begins, and before it does anything else; and what has no business there
# before it is needed.
MODULES_BEFORE_THE_BROWSER = 200
RUNNER_MODULES = 410
NOT_BEFORE_THE_BROWSER = ("pydantic", "pydantic_settings", "httpx2", "sqlite3")
NOT_AT_START = (
    *("openai", "fastapi", "starlette", "uvicorn"),
    *("schemathesis", "pytest", "pymongo", "control_plane", "sandbox", "jinja2", "supervisor"),
)

# Bytes of one text message of 60 characters: in a delivery, and as a document; of a heartbeat.
EVENT_ON_THE_WIRE = 620
MESSAGE_IN_THE_DATABASE = 480
HEARTBEAT_ON_THE_WIRE = 800

# Processes of a client that is connected (walls, runner, Chromium), with some that Chromium starts for a moment:
# with a headless shell, and with a whole Chromium.
PROCESSES_PER_CLIENT_WITH_A_SHELL = 12
PROCESSES_PER_CLIENT = 17

# What web and scheduler take to add a client, from the request until it runs; with three clients and with thirty.
ADDING = {
    "commands": 39,
    "documents": 24,
    "processes looked at": 6,
    "definitions": 6,
}
