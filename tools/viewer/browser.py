"""Driving the page in a headless Chromium, for tests and pictures (Debian: chromium, chromium-driver; pip: selenium)."""

from __future__ import annotations

import json
import shutil
import time
from typing import Any

CHROMIUM, DRIVER = "chromium", "chromedriver"
FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-quic",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--force-device-scale-factor=1",
)


def installed() -> bool:
    """Whether Chromium and its driver are there."""
    return shutil.which(CHROMIUM) is not None and shutil.which(DRIVER) is not None


class Browser:
    """A page in a browser without a window.

    Attributes:
        driver: the selenium driver.
    """

    def __init__(self, width: int = 1500, height: int = 900) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = shutil.which(CHROMIUM) or CHROMIUM
        for flag in (*FLAGS, f"--window-size={width},{height}"):
            options.add_argument(flag)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
        self.driver: Any = webdriver.Chrome(options=options, service=Service(shutil.which(DRIVER)))

    def open(self, url: str) -> None:
        """Load the page and wait until its graph is drawn."""
        self.driver.get(url)
        self.drawn(0)

    def count(self) -> int:
        """How many graphs the page has drawn so far."""
        return int(self.driver.execute_script("return document.body.dataset.drawn || 0"))

    def drawn(self, before: int, seconds: float = 60.0) -> None:
        """Wait for a graph beyond the first ``before`` ones."""
        self.wait(lambda: self.count() > before, "a graph", seconds)

    def wait(self, ready: Any, what: str, seconds: float = 60.0) -> Any:
        """What ``ready()`` returns once it is true; TimeoutError with ``what`` otherwise."""
        end = time.monotonic() + seconds
        while not (found := ready()):
            if time.monotonic() > end:
                raise TimeoutError(f"waited {seconds:g} s for {what}")
            time.sleep(0.1)
        return found

    def click(self, text: str) -> None:
        """Click on the button of the page that says ``text`` and wait for its graph."""
        before = self.count()
        self.find(f"//button[normalize-space()='{text}']").click()
        self.drawn(before)

    def find(self, path: str) -> Any:
        """The element of the page at an XPath."""
        self.driver.switch_to.default_content()
        return self.driver.find_element("xpath", path)

    def overlay(self, title: str) -> None:
        """Choose an overlay by its title and wait for the graph that has it."""
        before = self.count()
        self.find(f"//select[@id='overlay']/option[normalize-space()='{title}']").click()
        self.drawn(before)

    def rows(self) -> list[tuple[str, str]]:
        """The table of the overlay: (node, value)."""
        script = "return [...document.querySelectorAll('#rows tr')].map(r => [r.dataset.node, r.cells[1].textContent])"
        self.driver.switch_to.default_content()
        return [tuple(row) for row in self.driver.execute_script(script)]

    def panel(self, pane: int = 0) -> str:
        """The text beside the graph, as Model Explorer shows it."""
        panels = self.inside("return [...document.querySelectorAll('info-panel')].map(e => e.innerText)")
        return str(panels[pane]) if pane < len(panels) else ""

    def expect(self, text: str, pane: int = 0) -> None:
        """Wait until the panel beside the graph says ``text``."""
        self.wait(lambda: text in self.panel(pane), f"{text!r} beside the graph")

    def inside(self, script: str) -> Any:
        """What a script in the graph's frame returns."""
        self.driver.switch_to.default_content()
        self.driver.switch_to.frame("graph")
        try:
            return self.driver.execute_script(script)
        finally:
            self.driver.switch_to.default_content()

    def errors(self) -> list[str]:
        """What the console complained about since the last call."""
        return [e["message"] for e in self.driver.get_log("browser") if e["level"] in ("SEVERE", "WARNING")]

    def requests(self) -> list[str]:
        """Addresses that were asked for since the last call."""
        found = []
        for entry in self.driver.get_log("performance"):
            message = json.loads(entry["message"])["message"]
            if message["method"] == "Network.requestWillBeSent":
                found.append(str(message["params"]["request"]["url"]))
        return found

    def close(self) -> None:
        self.driver.quit()
