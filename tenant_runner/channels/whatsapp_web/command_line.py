"""How Chromium and Playwright's driver are started so that they take little memory (docs/decisions/0005)."""

from collections.abc import Iterable
from pathlib import Path

DISK_CACHE_BYTES = 33_554_432

DRIVER = Path(__file__).with_name("driver.sh")
"""Takes the place of Node under Playwright: the same Node, with a small heap."""

# Chromium takes the last `--disable-features` only, and Playwright has one: its names are said again.
PLAYWRIGHTS_DISABLED_FEATURES = (
    "AvoidUnnecessaryBeforeUnloadCheckSync",
    "DestroyProfileOnBrowserClose",
    "HttpsUpgrades",
    "HttpsFirstBalancedModeAutoEnable",
    "LensOverlay",
    "MediaRouter",
    "PaintHolding",
    "ThirdPartyStoragePartitioning",
    "AvoidCorsURLLoaderRestartOnRedirect",
    "TcpPortRandomizationWin",
    "OptimizationHints",
    "NetworkTimeServiceQuerying",
    "AimEnabled",
    "PreconnectToSearch",
    "msForceBrowserSignIn",
    "msEdgeUpdateLaunchServicesPreferredVersion",
)
PLAYWRIGHTS_ENABLED_FEATURES = ("CDPScreenshotNewSurface", "SkipListAccountsWithoutGaiaCookies")

ARGUMENTS = (
    "--disable-gpu",
    # Nothing on the page is three-dimensional.
    "--disable-software-rasterizer",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-breakpad",
    "--mute-audio",
    f"--disk-cache-size={DISK_CACHE_BYTES}",
    "--media-cache-size=1",
    # One page: no process is kept ready for the next one, and the network needs none of its own.
    "--enable-features=" + ",".join((*PLAYWRIGHTS_ENABLED_FEATURES, "NetworkServiceInProcess2")),
    "--disable-features=" + ",".join((*PLAYWRIGHTS_DISABLED_FEATURES, "SpareRendererForSitePerProcess")),
)

_FEATURES = ("--enable-features=", "--disable-features=")


def build_arguments(given: Iterable[str]) -> list[str]:
    """Chromium's arguments: ours, then an environment's.

    Args:
        given: of the environment; its lists of features are added to ours.

    Returns:
        In order; `--enable-features` and `--disable-features` once each, at the end.
    """
    everything = [*ARGUMENTS, *given]
    plain = [argument for argument in everything if not argument.startswith(_FEATURES)]
    return plain + [prefix + ",".join(_features(everything, prefix)) for prefix in _FEATURES]


def _features(arguments: Iterable[str], prefix: str) -> list[str]:
    """Names of all lists with that prefix, each once."""
    lists = [argument.removeprefix(prefix) for argument in arguments if argument.startswith(prefix)]
    return list(dict.fromkeys(name for names in lists for name in names.split(",") if name))
