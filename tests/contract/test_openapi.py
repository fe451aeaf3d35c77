"""The served documents against the facts of the contract, and against what the gateway really reads."""

import json
import re
from datetime import date, datetime
from decimal import Decimal
from typing import Any

import httpx
import pytest
import yaml
from gateway.api import documents
from gateway.clients import stated
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft4Validator, FormatChecker
from wattbook.errors import InvalidInput
from wattbook.periods import AREAS
from wattbook.trade import TRADE_FIELDS
from wattbook.trade.statement import json_trade

from tests.unit.gateway.started import Started

IN_PATHS = {
    "name": "somebody",
    "id": "1",
    "day": "2023-02-28",
    "delivery_start": "2023-02-28T13:00:00Z",
    "nmi": "NBBBX11110",
}
ERRORS_OF_OURS = {"401", "403", "406", "429", "500", "503"}


@pytest.fixture(scope="module")
def trades_api() -> dict[str, Any]:
    return documents.document(documents.CONTRACT)


class TestFacts:
    """Section 1 of the interfaces that others defined."""

    def test_head(self, trades_api: dict[str, Any]) -> None:
        assert trades_api["openapi"].startswith("3.0.")
        assert trades_api["info"]["version"] == "0.1.0"
        assert trades_api["servers"] == [{"url": "/v1"}]

    def test_basic_authentication_is_enough_everywhere(self, trades_api: dict[str, Any]) -> None:
        assert trades_api["components"]["securitySchemes"]["basicAuth"] == {"type": "http", "scheme": "basic"}
        assert {"basicAuth": []} in trades_api["security"]

    def test_get_trades(self, trades_api: dict[str, Any]) -> None:
        operation = trades_api["paths"]["/trades"]["get"]
        parameters = {each["name"]: each for each in operation["parameters"] if "name" in each}

        assert parameters["trader_id"]["schema"]["type"] == "string"
        assert parameters["delivery_day"]["schema"] == {"type": "string", "format": "date"}
        for parameter in operation["parameters"]:
            assert not parameter.get("required", False)
        content = operation["responses"]["200"]["content"]["application/json"]["schema"]
        assert content == {"type": "array", "items": {"$ref": "#/components/schemas/BookedTrade"}}
        served, stated = (trades_api["components"]["schemas"][name] for name in ("BookedTrade", "Trade"))
        assert served["properties"].items() >= stated["properties"].items()
        assert served["required"] == stated["required"]
        assert "400" in operation["responses"]

    def test_post_trades(self, trades_api: dict[str, Any]) -> None:
        operation = trades_api["paths"]["/trades"]["post"]

        body = operation["requestBody"]["content"]["application/json"]["schema"]
        assert body == {"$ref": "#/components/schemas/Trade"}
        assert {"200", "400", "409", "413", "415"} <= set(operation["responses"])

    def test_trade(self, trades_api: dict[str, Any]) -> None:
        trade = trades_api["components"]["schemas"]["Trade"]
        kinds = {name: trade["properties"][name].get("type") for name in trade["properties"]}

        assert tuple(trade["required"]) == TRADE_FIELDS
        assert set(trade["properties"]) == {*TRADE_FIELDS, "area", "delivery_start"}
        assert (kinds["price"], kinds["quantity"], kinds["delivery_hour"]) == ("integer", "number", "integer")
        assert trade["properties"]["direction"]["pattern"] == "^(buy|sell)$"
        assert trade["properties"]["delivery_day"]["format"] == "date"
        assert trade["properties"]["execution_time"]["format"] == "date-time"
        assert trade["properties"]["quantity"]["multipleOf"] == 0.1

    def test_error(self, trades_api: dict[str, Any]) -> None:
        error = trades_api["components"]["schemas"]["Error"]

        assert error["required"] == ["status_code", "message"]
        assert error["properties"]["status_code"]["type"] == "integer"
        assert error["properties"]["message"]["type"] == "string"

    def test_areas_are_those_that_are_known(self, trades_api: dict[str, Any]) -> None:
        assert trades_api["components"]["schemas"]["Area"]["enum"] == sorted(AREAS)


@pytest.mark.parametrize("name", documents.DOCUMENTS)
def test_every_document_is_valid(name: str) -> None:
    validator = pytest.importorskip("openapi_spec_validator")

    validator.validate(documents.document(name))
    validator.validate(documents.everything())


def test_every_operation_documents_the_errors_that_any_may_have() -> None:
    for path, methods in documents.everything()["paths"].items():
        for method, operation in methods.items():
            if method == "parameters":
                continue
            documented = set(operation["responses"])
            expected = {"500", "503", "400"}
            if operation.get("security") != []:
                expected |= {"401", "429"}
            if "requestBody" in operation:
                expected |= {"413", "415"}
            assert expected <= documented, f"{method} {path} lacks {expected - documented}"


def test_the_documents_are_served_and_every_one_of_their_operations_is_routed(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    with Started(tmp_path_factory.mktemp("documents")) as started, started.client(None) as client:
        served = {name: client.get(f"/v1/{name}") for name in documents.DOCUMENTS}
        merged = client.get("/v1/openapi.json").json()
        for path, methods in merged["paths"].items():
            for method in set(methods) - {"parameters"}:
                answer = client.request(
                    method, "/v1" + re.sub(r"\{(\w+)\}", lambda it: IN_PATHS[it[1]], path)
                )
                assert answer.status_code not in (404, 405), f"{method} {path}"

    assert all(yaml.safe_load(answer.content)["openapi"] for answer in served.values())
    assert set(merged["paths"]) == {
        path for answer in served.values() for path in yaml.safe_load(answer.content)["paths"]
    }
    assert "trades_api.yaml" not in json.dumps(merged)


def _schema(name: str) -> Draft4Validator:
    """The schema of that name with exact numbers, formats that are checked, and ECMA's ``$`` in patterns."""
    text = re.sub(r'("pattern": "[^"]*)\$"', r'\1\\\\Z"', json.dumps(documents.everything()))
    whole = _with_nulls(json.loads(text, parse_float=Decimal))
    checker = FormatChecker(formats=())
    checker.checks("date", ValueError)(_is_date)
    checker.checks("date-time", ValueError)(_is_date_time)
    return Draft4Validator(
        {"$ref": f"#/components/schemas/{name}", "components": whole["components"]}, format_checker=checker
    )


def _with_nulls(node: Any) -> Any:
    """OpenAPI's ``nullable`` in the words of JSON Schema."""
    if isinstance(node, list):
        return [_with_nulls(each) for each in node]
    if not isinstance(node, dict):
        return node
    plain = {key: _with_nulls(value) for key, value in node.items() if key != "nullable"}
    return {"anyOf": [plain, {"type": "null"}]} if node.get("nullable") is True else plain


def _is_date(value: Any) -> bool:
    return not isinstance(value, str) or bool(
        re.fullmatch(r"\d{4}-\d\d-\d\d", value) and date.fromisoformat(value)
    )


def _is_date_time(value: Any) -> bool:
    shape = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"
    if not isinstance(value, str):
        return True
    return bool(re.fullmatch(shape, value, re.ASCII) and datetime.fromisoformat(value.replace("Z", "+00:00")))


TRADE = _schema("Trade")
GOOD = {
    "id": '"t_123"',
    "price": "120",
    "quantity": "12",
    "direction": '"sell"',
    "delivery_day": '"2023-02-28"',
    "delivery_hour": "14",
    "trader_id": '"trader_1"',
    "execution_time": '"2023-02-28T11:12:35Z"',
}
_ODD = ["null", "true", "[]", "{}", '""', "0", "-1", "1.5", "12.0", '"12"', '" "', "1e3", "2147483648"]
_TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=140).map(json.dumps)
_NUMBERS = st.one_of(
    st.integers().map(str),
    st.integers(-20, 10_000_020).map(lambda tenths: str(Decimal(tenths) / 10)),
    st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-5, max_value=1_000_005).map(str),
)
_OWN: dict[str, list[str]] = {
    "direction": ['"buy"', '"sell"', '"BUY"', '"buy "'],
    "delivery_day": [
        '"2023-02-28"', '"2024-02-29"', '"2023-02-29"', '"2023-2-1"', '"20230228"', '"2023-02-28T00:00:00Z"',
    ],
    "delivery_hour": ["0", "23", "24", "-1", "14.0"],
    "quantity": ["0.1", "0.10", "0.15", "1000000", "1000000.1", "1e6", "1e309", "1.2E1", "0.0", "1e-2"],
    "price": ["-2147483647", "-2147483648", "2147483647", "0"],
    "execution_time": [
        '"2023-02-28T11:12:35.123456Z"', '"2023-02-28T11:12:35+01:00"', '"2023-02-28T11:12:35"',
        '"2023-02-30T11:12:35Z"', '"2023-02-28T25:12:35Z"', '"2023-02-28"', '"now"',
    ],
    "area": ['"DE"', '"AT"', '"XX"', '"de"'],
    "delivery_start": ['"2023-02-28T13:00:00Z"', '"2023-02-28T14:00:00+01:00"', '"2023-02-28T13:00:00"'],
    "colour": ['"blue"'],
}  # fmt: skip
_VALUES = {
    name: st.one_of(st.sampled_from([*own, *_ODD]), _TEXTS, _NUMBERS)
    for name, own in ({name: [] for name in GOOD} | _OWN).items()
}


@st.composite
def bodies(draw: st.DrawFn) -> str:
    """A trade's JSON with some fields changed, added or left out."""
    fields = dict(GOOD)
    for name in draw(st.lists(st.sampled_from(sorted(_VALUES)), max_size=3)):
        fields[name] = draw(_VALUES[name])
    for name in draw(st.lists(st.sampled_from(sorted(GOOD)), max_size=1) | st.just([])):
        if draw(st.booleans()):
            del fields[name]
    return "{" + ",".join(f'"{name}":{text}' for name, text in fields.items()) + "}"


@given(body=bodies())
def test_document_and_decoder_agree_on_what_a_trade_is(body: str) -> None:
    by_document = TRADE.is_valid(json.loads(body, parse_float=Decimal))
    try:
        stated(json_trade(body.encode()))
        by_decoder, why = True, ""
    except InvalidInput as error:
        by_decoder, why = False, error.message

    assert by_document == by_decoder, f"{body}: the decoder says {why or 'fine'}"


def test_served_trades_are_what_the_document_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    with Started(tmp_path_factory.mktemp("served")) as started, started.client() as client:
        for number, changes in enumerate(
            ({}, {"quantity": 12.3}, {"area": "AT"}, {"delivery_day": "2023-10-29", "delivery_hour": 2})
        ):
            body = {**json.loads("{" + ",".join(f'"{k}":{v}' for k, v in GOOD.items()) + "}"), **changes}
            answer = client.post("/v1/trades", json={**body, "id": f"t{number}"})
            assert answer.status_code == 200
        served = json.loads(client.get("/v1/trades").text, parse_float=Decimal)
        errors = [client.get("/v1/trades?limit=0"), httpx.get(f"{started.url}/v1/trades", trust_env=False)]

    assert len(served) == 4
    assert all(TRADE.is_valid(trade) for trade in served)
    more = [set(trade) - set(TRADE_FIELDS) for trade in served]
    assert more == [
        set(),
        set(),
        {"area"},
        {"delivery_start"},
    ]
    assert all(_schema("Error").is_valid(answer.json()) for answer in errors)


def test_answers_about_meters_are_what_the_document_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    answers = {
        "MeterReading": "/v1/meter-readings?nmi=NBBBX11110&limit=1",
        "MeterPoint": "/v1/meter-points/NBBBX11110",
        "FlowFile": "/v1/flow-files",
        "WholeFlowFile": "/v1/flow-files/1",
        "FlowFileError": "/v1/flow-files/2/errors",
    }
    with Started(tmp_path_factory.mktemp("meters")) as started, started.client() as client:
        good, bad = (
            client.post("/v1/flow-files", files={"file": ("a.csv", content)}) for content in (b"100900", b"x")
        )
        withdrawn = client.post("/v1/flow-files/1/withdrawal", json={"reason": "a test"})
        bodies = {"Upload": good.json(), "RejectedUpload": bad.json(), "Withdrawn": withdrawn.json()}
        for name, path in answers.items():
            body = client.get(path).json()
            bodies[name] = body[0] if isinstance(body, list) else body

    for name, body in bodies.items():
        assert not [error.message for error in _schema(name).iter_errors(body)], name


def test_live_answers_are_what_the_document_says(tmp_path_factory: pytest.TempPathFactory) -> None:
    answers = {
        "PerformanceReport": "/v1/reports/performance?trader_id=t&delivery_day=2023-02-28",
        "DeskReport": "/v1/reports/desk?delivery_day=2023-02-28",
        "ReferencePrices": "/v1/reference-prices?delivery_day=2023-02-28",
        "PriceHistory": "/v1/reference-prices/2023-02-28T13:00:00Z/history",
        "FeedStatus": "/v1/feed",
        "QuarantinePage": "/v1/quarantine",
        "Quarantined": "/v1/quarantine/1",
        "Reconciliation": "/v1/reconciliations/2023-02-28",
    }
    with Started(tmp_path_factory.mktemp("live")) as started, started.client() as client:
        for name, path in answers.items():
            answer = client.get(path)
            assert answer.status_code == 200, answer.text
            body = json.loads(answer.text, parse_float=Decimal)
            assert not [error.message for error in _schema(name).iter_errors(body)], name
