"""Generates the Python stubs from the .proto files whenever the package is built or installed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class GenerateStubs(BuildHookInterface):  # type: ignore[type-arg,misc]  # hatchling ships no types for hooks
    """Runs protoc over ``src/wattbook_proto/*.proto``; the stubs are never committed nor edited."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        """Write ``*_pb2.py``, ``*_pb2.pyi`` and ``*_pb2_grpc.py`` beside the contracts.

        Raises:
            RuntimeError: protoc refused a contract.
        """
        from grpc_tools import protoc

        source = Path(self.root) / "src"
        contracts = sorted(str(path) for path in (source / "wattbook_proto").glob("*.proto"))
        outputs = [f"--{kind}={source}" for kind in ("python_out", "pyi_out", "grpc_python_out")]
        if protoc.main(["protoc", f"-I{source}", *outputs, *contracts]) != 0:
            raise RuntimeError("protoc refused a contract; its message stands above")
