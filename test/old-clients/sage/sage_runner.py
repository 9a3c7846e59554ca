"""The other half of the stand-in: context, runner, repository input and report, as the wire contract tells them.

Run as a program it is one agent process: `python3 sage_runner.py AGENT`, with AGENT one of those at the end of
this file. It takes no flags, prints nothing to stdout, logs to stderr and ends with the code of the contract.
"""

import asyncio
import dataclasses
import json
import os
import signal
import sys
import time
import traceback

sys.dont_write_bytecode = True

import sage_client as sdk
from sage_client import _env


def log(event, **fields):
    print(json.dumps({"event": event, **fields}), file=sys.stderr, flush=True)


# ---- context and input -----------------------------------------------------------------------------

class AgentContext:
    @staticmethod
    def from_environment():
        for name in ("RUN_ID", "ORG_ID"):
            if _env(name) is None:
                raise sdk.ConfigurationError(f"{name} is not set")
        context = AgentContext()
        context.run_id = os.environ["RUN_ID"]
        context.work_dir = _env("WORK_DIR") or "/work"
        context.output_path = _env("OUTPUT_PATH") or "/output"
        context.gateway = sdk.SpiffeGatewayClient()
        try:
            allowed = context.gateway.trat.get_token().allowed_models
        except Exception:  # noqa: BLE001 - any failure counts as "no token"
            allowed = {}
        if any(allowed.get(name) for name in sdk.CATEGORIES):
            context.selector = sdk.ModelSelector(allowed)
        else:
            context.selector = sdk.StaticModelSelector(_env("SAGE_MODEL") or _env("OPENAI_MODEL") or "gpt-4o")
        return context

    def llm(self, category, **options):
        return sdk.GatewayChatModel(self.gateway, self.selector.select(category), **options)


@dataclasses.dataclass
class RepositoryInput:
    path: str
    ref: str = ""
    url: str = ""

    @staticmethod
    def load():
        path = _env("REPO_PATH")
        if path is None:
            raise sdk.InputValidationError("REPO_PATH is not set")
        return RepositoryInput(path, _env("REPO_REF") or "", _env("REPO_URL") or "")

    def validate(self):
        if ".." in self.path.split("/"):
            raise sdk.PathTraversalError("a component of the path is ..")
        if not os.path.exists(self.path):
            raise sdk.InputValidationError("the repository does not exist")
        if not os.path.isdir(self.path):
            raise sdk.InputValidationError("the repository is no directory")

    def files(self, extensions=()):
        found = []
        for place, directories, names in os.walk(self.path):
            directories[:] = [name for name in directories if not os.path.islink(os.path.join(place, name))]
            for name in names:
                if not extensions or os.path.splitext(name)[1] in extensions:
                    found.append(os.path.relpath(os.path.join(place, name), self.path))
        return sorted(found, key=lambda path: path.split("/"))


# ---- report ----------------------------------------------------------------------------------------

LEVELS = {"critical": "error", "high": "error", "medium": "warning", "low": "note", "note": "note"}
SEVERITIES = {"critical": "9.0", "high": "7.0", "medium": "4.0", "low": "1.0", "note": "0.0"}
SCHEMA = "https://raw.githubusercontent.com/oasis-tcs/sarif-spec/main/sarif-2.1/schema/sarif-schema-2.1.0.json"


def sarif(tool_name, tool_version, findings):
    """The report of one run. Findings have the members of the contract, in snake case."""
    rules, results = {}, []
    for finding in findings:
        cwe = finding.get("cwe", "")
        if finding["id"] not in rules:
            properties = {"security-severity": SEVERITIES.get(finding["severity"], "4.0")}
            if cwe:
                properties["tags"] = [cwe if cwe.startswith("CWE-") else f"CWE-{cwe}", "security"]
            rules[finding["id"]] = {
                "id": finding["id"], "name": finding["title"],
                "shortDescription": {"text": finding["title"]},
                "fullDescription": {"text": finding["description"]},
                "properties": properties}
        location = finding["location"]
        region = {"startLine": max(location.get("start_line", 0), 1)}
        for name, member in (("end_line", "endLine"), ("start_column", "startColumn"), ("end_column", "endColumn")):
            if location.get(name, 0):
                region[member] = location[name]
        result = {
            "ruleId": finding["id"], "level": LEVELS.get(finding["severity"], "warning"),
            "message": {"text": finding["description"]},
            "locations": [{"physicalLocation": {
                "artifactLocation": {"uri": location["file"]}, "region": region}}]}
        if finding.get("remediation"):
            result["fixes"] = [{"description": {"text": finding["remediation"]}}]
        results.append(result)
    driver = {"name": tool_name, "version": tool_version, "rules": list(rules.values())}
    return {"$schema": SCHEMA, "version": "2.1.0", "runs": [{"tool": {"driver": driver}, "results": results}]}


def write_report(directory, report):
    try:
        with open(os.path.join(directory, "results.sarif"), "w", encoding="utf-8") as file:
            file.write(json.dumps(report, indent=2))
    except (OSError, TypeError, ValueError) as error:
        raise sdk.OutputWriteError(str(error)) from error


# ---- runner ----------------------------------------------------------------------------------------

@dataclasses.dataclass
class AgentResult:
    output: dict = None
    exit_code: int = 0


class AgentRunner:
    def __init__(self, agent):
        self.agent, self.shutdown = agent, asyncio.Event()

    async def run(self):
        try:
            loop = asyncio.get_running_loop()
            for one in (signal.SIGTERM, signal.SIGINT):
                loop.add_signal_handler(one, self.shutdown.set)
            log("initializing_context")
            context = AgentContext.from_environment()
            log("agent_starting")
            source = RepositoryInput.load()
            source.validate()
            task = asyncio.ensure_future(self.agent(context, source))
            stop = asyncio.ensure_future(self.shutdown.wait())
            await asyncio.wait((task, stop), return_when=asyncio.FIRST_COMPLETED)
            if not task.done():
                task.cancel()
                try:
                    await task
                except asyncio.CancelledError:
                    pass
                return 130
            stop.cancel()
            result = task.result()
            code = result.exit_code  # nothing returned is nothing that has a code
            if result.output is not None:
                os.makedirs(context.output_path, exist_ok=True)
                write_report(context.output_path, result.output)
                log("output_written")
            log("agent_completed")
            return code
        except sdk.SageSanctumError as error:
            log("agent_error", error=str(error), exit_code=error.exit_code)
            return error.exit_code
        except Exception as error:  # noqa: BLE001 - whatever else escapes ends in 1
            log("unexpected_error", error=str(error), trace=traceback.format_exc())
            return 1


# ---- agents of the tests -----------------------------------------------------------------------------

def _report(text):
    location = {"file": "app.py", "start_line": 1}
    finding = {"id": "R1", "title": "A finding", "description": text, "severity": "high", "location": location}
    return sarif("stand-in", "1.0", [finding])


async def scan(context, source):
    """One question per file, the answers in one report."""
    model = context.llm("analysis")
    answers = []
    for name in source.files((".py",)):
        with open(os.path.join(source.path, name), encoding="utf-8") as file:
            content = f"{name}: {file.read()}"
        answers.append(model.invoke([{"type": "human", "content": content}])["content"])
    return AgentResult(_report(" ".join(answers)))


async def findings(_context, _source):
    return AgentResult(_report("found"), 3)


async def nothing(_context, _source):
    return None


async def crash(_context, _source):
    raise KeyError("nobody expects this")


async def custom(_context, _source):
    raise sdk.SageSanctumError("of the agent itself", 99)


async def wait(_context, _source):
    log("waiting")
    await asyncio.sleep(30)
    return AgentResult(_report("too late"))


async def last_words(_context, _source):
    log("waiting")
    try:
        await asyncio.sleep(30)
    except asyncio.CancelledError:
        raise sdk.ModelError("cancelled in the middle") from None
    return AgentResult()


async def blocking(_context, _source):
    log("waiting")
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        pass
    return AgentResult()


AGENTS = {one.__name__.replace("_", "-"): one
          for one in (scan, findings, nothing, crash, custom, wait, last_words, blocking)}

if __name__ == "__main__":
    sys.exit(asyncio.run(AgentRunner(AGENTS[sys.argv[1]]).run()))
