"""What a typical solution looks like, to compare with: one FastAPI process over SQLite, one commit a request.

Plain and fair: SQLAlchemy's documented session a request, pydantic models, HTTP Basic with a constant-time
comparison, SQLite as it comes (rollback journal, synchronous=FULL: durable) or, with BASELINE_WAL=1, in WAL.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from datetime import date, datetime
from decimal import Decimal
from typing import Annotated, Literal

from fastapi import Depends, FastAPI, HTTPException
from fastapi.security import HTTPBasic, HTTPBasicCredentials
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field
from sqlalchemy import create_engine, event, select
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

engine = create_engine(
    f"sqlite:///{os.environ['BASELINE_DB']}", connect_args={"check_same_thread": False, "timeout": 30}
)
SessionLocal = sessionmaker(engine)
app = FastAPI()
basic = HTTPBasic()


@event.listens_for(engine, "connect")
def durable(connection, _record) -> None:
    connection.execute("PRAGMA synchronous=FULL")
    if os.environ.get("BASELINE_WAL") == "1":
        connection.execute("PRAGMA journal_mode=WAL")


class Base(DeclarativeBase):
    pass


class TradeRow(Base):
    __tablename__ = "trades"
    id: Mapped[str] = mapped_column(primary_key=True)
    price: Mapped[int]
    quantity: Mapped[str]
    direction: Mapped[str]
    delivery_day: Mapped[date] = mapped_column(index=True)
    delivery_hour: Mapped[int]
    trader_id: Mapped[str] = mapped_column(index=True)
    execution_time: Mapped[datetime]


class Trade(BaseModel):
    model_config = ConfigDict(extra="forbid", from_attributes=True)
    id: str
    price: int
    quantity: Annotated[Decimal, Field(gt=0, decimal_places=1)]
    direction: Literal["buy", "sell"]
    delivery_day: date
    delivery_hour: Annotated[int, Field(ge=0, le=23)]
    trader_id: str
    execution_time: AwareDatetime


Base.metadata.create_all(engine)


def session() -> Iterator[Session]:
    with SessionLocal() as opened:
        yield opened


def user(credentials: Annotated[HTTPBasicCredentials, Depends(basic)]) -> str:
    right = secrets.compare_digest(credentials.password.encode(), os.environ["BASELINE_PASSWORD"].encode())
    if not right:
        raise HTTPException(401)
    return credentials.username


@app.post("/v1/trades")
def add(
    trade: Trade, db: Annotated[Session, Depends(session)], _user: Annotated[str, Depends(user)]
) -> dict[str, str]:
    if db.get(TradeRow, trade.id) is not None:
        return {"result": "duplicate", "id": trade.id}
    db.add(TradeRow(**{**trade.model_dump(), "quantity": str(trade.quantity)}))
    db.commit()
    return {"result": "added", "id": trade.id}


@app.get("/v1/trades")
def search(
    db: Annotated[Session, Depends(session)],
    _user: Annotated[str, Depends(user)],
    trader_id: str | None = None,
    delivery_day: date | None = None,
) -> list[Trade]:
    query = select(TradeRow)
    if trader_id is not None:
        query = query.where(TradeRow.trader_id == trader_id)
    if delivery_day is not None:
        query = query.where(TradeRow.delivery_day == delivery_day)
    return [Trade.model_validate(row) for row in db.scalars(query)]
