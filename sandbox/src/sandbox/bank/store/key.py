"""The answer key: every balance at every quarter's end, by SQL over the files that were made.

Another path than the maker's, and than that of whoever follows the bank. What is dirty it knows from the
labels. DuckDB does it, which only developers have.
"""

from __future__ import annotations

from pathlib import Path

from wattbook.errors import Unavailable

from sandbox.bank.store.folder import CSV, plan_of

NAME = "key.parquet"
_SQL = """
create temp table leg as
with payment as (
    select 'sepa' as source, * from {sepa} union all select 'swift', * from {swift}
), label as (select distinct * exclude (filename), parse_filename(filename)[:2] as origin from {labels}),
marked as (
    select payment.*, batch.id is not null as batch,
        row_number() over (
            partition by payment.source, payment.id, payment.payer_iban, payment.beneficiary_iban,
                payment.timestamp, amount_minor, currency
        ) as copy
    from payment
    left join label as batch on batch.kind = 'batch' and batch.origin = source[:2] and {same_batch}
    left join label as invalid on invalid.kind = 'invalid_iban' and invalid.origin = source[:2]
        and {same_invalid}
    where invalid.id is null
)
select payer_iban as iban, currency, date_trunc('quarter', timestamp at time zone 'UTC') as quarter,
    sum(-amount_minor) filter (not batch) as clean, sum(-amount_minor) as batched,
    sum(-amount_minor) filter (not batch or copy = 1) as once
from marked where payer_iban in (select iban from {accounts}) group by all
union all
select beneficiary_iban, currency, date_trunc('quarter', timestamp at time zone 'UTC'),
    sum(amount_minor) filter (not batch), sum(amount_minor), sum(amount_minor) filter (not batch or copy = 1)
from marked where beneficiary_iban in (select iban from {accounts}) group by all;

create temp table quarter as
select unnest(generate_series(
    date_trunc('quarter', date '{first}'),
    date_trunc('quarter', date '{end}' - interval 1 day),
    interval 3 month
)) as quarter;

create temp table rate as
select currency, (eur_rate::decimal(18, 10) * unit)::decimal(14, 13) as eur_a_minor,
    (usd_rate::decimal(18, 10) * unit)::decimal(14, 13) as usd_a_minor
from (
    select *, (case decimals when 0 then 1 when 2 then 0.01 else 0.001 end)::decimal(4, 3) as unit
    from {rates}
);

copy (
    with moved as (
        select iban, currency, quarter, sum(clean) as clean, sum(batched) as batched, sum(once) as once
        from leg group by all
    ), grid as (
        select iban, currency, quarter.quarter from quarter
        join (select iban, currency, min(quarter) as since from leg group by all) on quarter.quarter >= since
    ), balance as (
        select iban, currency, quarter,
            sum(coalesce(clean, 0)) over upto as clean_minor,
            sum(coalesce(batched, 0)) over upto as batch_minor,
            sum(coalesce(once, 0)) over upto as batch_once_minor
        from grid left join moved using (iban, currency, quarter)
        window upto as (partition by iban, currency order by quarter)
    )
    select iban, company, currency, (quarter + interval 3 month - interval 1 day)::date as quarter_end,
        clean_minor::bigint as clean_minor, batch_minor::bigint as batch_minor,
        batch_once_minor::bigint as batch_once_minor,
        clean_minor::decimal(24, 0) * eur_a_minor as clean_eur,
        clean_minor::decimal(24, 0) * usd_a_minor as clean_usd
    from balance join {accounts} using (iban) join rate using (currency)
    order by iban, currency, quarter
) to '{key}' (format parquet, compression zstd);
"""
_SAME = (
    "{0}.id = payment.id and {0}.payer_iban = payment.payer_iban"
    " and {0}.beneficiary_iban = payment.beneficiary_iban and {0}.timestamp = payment.timestamp"
)


def write_key(folder: Path) -> Path:
    """Write a made folder's answer key into it: its path.

    A row an account, currency and quarter's end (that day included) from the first payment on, in minor
    units: without what is dirty, with batches, with each equal one of a batch once. ``clean_eur`` and
    ``clean_usd`` are exact at the true rates.

    Raises:
        NotFound: the folder holds no whole data set.
        Unavailable: DuckDB is not installed.
    """
    plan, format = plan_of(folder)
    try:
        import duckdb
    except ImportError:
        raise Unavailable(
            "the answer key needs the package duckdb, which developers have: make setup"
        ) from None
    reader = "read_csv" if format == CSV else "read_parquet"

    def files(pattern: str, options: str = "") -> str:
        return f"{reader}('{_quoted(folder / pattern)}.{format}'{options})"

    said = plan.as_dict()
    path = folder / NAME
    statement = _SQL.format(
        sepa=files("sepa/*"), swift=files("swift/*"), labels=files("labels/*", ", filename = true"),
        accounts=files("accounts"), rates=files("rates"), same_batch=_SAME.format("batch"),
        same_invalid=_SAME.format("invalid"), first=said["from"], end=said["to"], key=_quoted(path),
    )  # fmt: skip
    with duckdb.connect() as connection:
        connection.execute(statement)
    return path


def _quoted(path: Path) -> str:
    return path.as_posix().replace("'", "''")
