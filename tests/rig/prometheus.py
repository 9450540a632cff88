"""Owns a real Prometheus that watches one target every second, and what it then knows.

Must not know which alerts are right.
"""

from typing import Any

import httpx
import yaml

from tests.rig import local_http
from tests.rig.process import LOOPBACK, Housed, Server, free_port

_INTERVAL = "1s"


class Prometheus(Housed):
    """Prometheus on a free loopback port, its data in a folder that goes with it; a context manager.

    `target` is scraped as a job of the name `job`; `rules` is the content of a rule file.
    """

    def __init__(self, target: str, job: str, rules: dict[str, Any]) -> None:
        super().__init__("prometheus")
        folder = self._folder
        config = {
            "global": {"scrape_interval": _INTERVAL, "evaluation_interval": _INTERVAL},
            "rule_files": ["rules.yaml"],
            "scrape_configs": [{"job_name": job, "static_configs": [{"targets": [target]}]}],
        }
        (folder / "rules.yaml").write_text(yaml.safe_dump(rules), encoding="utf-8")
        (folder / "prometheus.yaml").write_text(yaml.safe_dump(config), encoding="utf-8")
        address = f"{LOOPBACK}:{free_port()}"
        self._url = f"http://{address}"
        command = [
            "prometheus",
            f"--config.file={folder / 'prometheus.yaml'}",
            f"--storage.tsdb.path={folder / 'data'}",
            f"--web.listen-address={address}",
            "--log.level=warn",
        ]
        self._started = [Server("Prometheus", command, folder / "log", self._is_ready)]

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the labels and value of each sample that is the answer now. Raises `HTTPStatusError` on no PromQL."""
        answer = local_http.post(f"{self._url}/api/v1/query", data={"query": expression}).raise_for_status().json()
        return [(sample["metric"], float(sample["value"][1])) for sample in answer["data"]["result"]]

    def alerts(self) -> list[dict[str, Any]]:
        """Return all alerts that fire now, with labels and annotations."""
        answer = local_http.get(f"{self._url}/api/v1/alerts").raise_for_status().json()
        return [alert for alert in answer["data"]["alerts"] if alert["state"] == "firing"]

    def rule_errors(self) -> list[str]:
        """Return what is wrong with rules when they are evaluated on what there is."""
        answer = local_http.get(f"{self._url}/api/v1/rules").raise_for_status().json()
        rules = [rule for group in answer["data"]["groups"] for rule in group["rules"]]
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule.get("lastError")]

    def _is_ready(self) -> bool:
        try:
            return local_http.get(f"{self._url}/-/ready").is_success
        except httpx.TransportError:
            return False
