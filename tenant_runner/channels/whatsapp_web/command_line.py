"""How Chromium is started: without windows, for one page, with little memory (docs/decisions/0005)."""

from collections.abc import Iterable
from pathlib import Path

DISK_CACHE_BYTES = 33_554_432

DISABLED_FEATURES = (
    # The profile is kept and written while the browser closes.
    "DestroyProfileOnBrowserClose",
    # Addresses are taken as they are given.
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    # With pinned pages: it breaks redirects of requests that are looked at on their way.
    "AvoidCorsURLLoaderRestartOnRedirect",
    # Nobody is asked for what the page did not ask for.
    *("MediaRouter", "OptimizationHints", "NetworkTimeServiceQuerying", "AimEnabled", "PreconnectToSearch"),
    # One page: no process is kept ready for the next one.
    "SpareRendererForSitePerProcess",
)
ENABLED_FEATURES = (
    "SkipListAccountsWithoutGaiaCookies",
    # The network needs no process of its own.
    "NetworkServiceInProcess2",
)

ARGUMENTS = (
    "--headless",
    "--remote-debugging-pipe",
    "--no-startup-window",
    "--window-size=1280,800",
    "--hide-scrollbars",
    "--mute-audio",
    # A mouse is there, and a finger is not: pages ask.
    "--blink-settings=primaryHoverType=2,availableHoverTypes=2,primaryPointerType=4,availablePointerTypes=4",
    "--disable-gpu",
    # Nothing on the page is three-dimensional.
    "--disable-software-rasterizer",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-search-engine-choice-screen",
    "--disable-infobars",
    # Nobody looks at the page, and it works as if somebody did.
    "--disable-background-timer-throttling",
    "--disable-backgrounding-occluded-windows",
    "--disable-renderer-backgrounding",
    "--disable-ipc-flooding-protection",
    # Whether a page hangs is found out by asking it.
    "--disable-hang-monitor",
    # A document that was left would stay in memory.
    "--disable-back-forward-cache",
    # No keyring of the system: its password would have to be typed.
    "--password-store=basic",
    "--use-mock-keychain",
    "--disable-extensions",
    "--disable-component-extensions-with-background-pages",
    "--disable-default-apps",
    "--disable-field-trial-config",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--metrics-recording-only",
    f"--disk-cache-size={DISK_CACHE_BYTES}",
    "--media-cache-size=1",
    "--enable-features=" + ",".join(ENABLED_FEATURES),
    "--disable-features=" + ",".join(DISABLED_FEATURES),
)

_FEATURES = ("--enable-features=", "--disable-features=")


def build_arguments(given: Iterable[str], *, profile: Path, sandbox: bool) -> list[str]:
    """Chromium's arguments: ours, then an environment's.

    Args:
        given: of the environment; its lists of features are added to ours.
        profile: directory of the profile.
        sandbox: whether Chromium's own sandbox is used.

    Returns:
        In order; `--enable-features` and `--disable-features` once each, at the end: Chromium takes the last only.
    """
    everything = [*ARGUMENTS, f"--user-data-dir={profile}", *([] if sandbox else ["--no-sandbox"]), *given]
    plain = [argument for argument in everything if not argument.startswith(_FEATURES)]
    return plain + [prefix + ",".join(_features(everything, prefix)) for prefix in _FEATURES]


def _features(arguments: Iterable[str], prefix: str) -> list[str]:
    """Names of all lists with that prefix, each once."""
    lists = [argument.removeprefix(prefix) for argument in arguments if argument.startswith(prefix)]
    return list(dict.fromkeys(name for names in lists for name in names.split(",") if name))
