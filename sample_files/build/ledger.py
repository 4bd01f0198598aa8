"""The books of the invented company: inputs from `company.csv`, and everything that follows from them.

All amounts are whole thousands of euros. Costs, payments and liabilities are kept as positive numbers; the tables
decide which of them are printed in brackets.
"""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

__all__ = ["CLASSES", "COMPANY", "SEGMENTS", "YEARS", "Ledger", "read_ledger"]

COMPANY = "Norvellan Instruments N.V."
YEARS = (2021, 2022, 2023)
SEGMENTS = ("flow", "analysers", "service")
CLASSES = ("buildings", "machinery", "fixtures")
_INPUTS = Path(__file__).with_name("company.csv")


class Ledger:
    """Amounts by line and year: `ledger("revenue", 2023)` or `ledger["revenue", 2023]`."""

    def __init__(self, lines: dict[str, dict[int, int]]) -> None:
        self._lines = lines

    def __call__(self, line: str, year: int) -> int:
        """Return the amount. Raises KeyError for a line or a year that is not there."""
        return self._lines[line][year]

    def has(self, line: str) -> bool:
        """Whether there is a line of that name."""
        return line in self._lines

    def derive(self, line: str, rule: Callable[[int], int], years: tuple[int, ...] = YEARS) -> None:
        """Add a line whose amount in each year is `rule(year)`; the rule may use the line's own earlier years."""
        values = self._lines.setdefault(line, {})
        for year in years:
            values[year] = rule(year)

    def sum_of(self, *lines: str) -> Callable[[int], int]:
        """Return the rule that adds up lines; a name that begins with `-` is subtracted."""
        return lambda year: sum(-self(name[1:], year) if name[0] == "-" else self(name, year) for name in lines)

    def roll(self, line: str, *changes: str) -> None:
        """Carry a closing balance forward from 2020 by the year's changes."""
        movement = self.sum_of(*changes)
        self.derive(line, lambda year: self(line, year - 1) + movement(year))


def read_ledger() -> Ledger:
    """Return the books with all lines derived."""
    lines: dict[str, dict[int, int]] = {}
    with _INPUTS.open(encoding="utf-8", newline="") as file:
        for row in csv.DictReader(row for row in file if not row.startswith("#")):
            item = row.pop("item")
            lines[item] = {int(year): int(value) for year, value in row.items() if value}
    ledger = Ledger(lines)
    for step in (_operating, _assets, _finance, _obligations, _cash_flow, _equity, _balance, _per_share):
        step(ledger)
    return ledger


def _operating(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    derive("revenue", total(*(f"revenue_{name}" for name in SEGMENTS)), (2020, *YEARS))
    for cost in ("cost_of_sales", "research", "selling", "administration"):
        owners = (*SEGMENTS, "corporate") if cost == "administration" else SEGMENTS
        derive(cost, total(*(f"{cost}_{name}" for name in owners)))
    for name in SEGMENTS:
        costs = (f"-{cost}_{name}" for cost in ("cost_of_sales", "research", "selling", "administration"))
        derive(f"result_{name}", total(f"revenue_{name}", *costs))
        derive(f"gross_{name}", total(f"revenue_{name}", f"-cost_of_sales_{name}"))
    derive("result_segments", total(*(f"result_{name}" for name in SEGMENTS)))
    derive("gross_profit", total("revenue", "-cost_of_sales"))
    regions = ("germany", "netherlands", "rest_of_europe", "north_america")
    derive("revenue_asia", total("revenue", *(f"-revenue_{name}" for name in regions)))
    ledger.roll("order_backlog", "order_intake", "-revenue")
    derive("revenue_point", total("revenue", "-revenue_over_time"))


def _assets(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    every = (2020, *YEARS)
    for name in CLASSES:
        ledger.roll(f"cost_{name}", f"capex_{name}", f"-disposal_cost_{name}", f"exchange_{name}")
        ledger.roll(f"depreciated_{name}", f"depreciation_{name}", f"-disposal_depreciation_{name}")
        derive(f"property_{name}", total(f"cost_{name}", f"-depreciated_{name}"), every)
    parts = ("cost", "depreciated", "property")
    for part in parts:
        derive(f"{part}_all", total(*(f"{part}_{name}" for name in CLASSES)), every)
    for part in ("capex", "depreciation", "disposal_cost", "disposal_depreciation", "exchange"):
        derive(f"{part}_all", total(*(f"{part}_{name}" for name in CLASSES)))
    derive("property", total("property_all"), every)
    derive("disposal_book_value", total("disposal_cost_all", "-disposal_depreciation_all"))
    derive("disposal_gain", total("disposal_proceeds", "-disposal_book_value"))
    for name in ("development", "software"):
        ledger.roll(name, f"{name}_additions", f"-{name}_amortisation")
    derive("intangible", total("development", "software"), every)
    derive("intangible_additions", total("development_additions", "software_additions"))
    derive("amortisation", total("development_amortisation", "software_amortisation"))
    ledger.roll("right_of_use", "lease_additions", "-right_of_use_depreciation")
    derive("depreciation_and_amortisation", total("depreciation_all", "amortisation", "right_of_use_depreciation"))
    inventory = ("inventory_raw", "inventory_progress", "inventory_finished", "-inventory_allowance")
    derive("inventories", total(*inventory), every)
    derive("receivables", total("receivables_gross", "-receivables_allowance"), every)


def _finance(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    derive("other_operating", total("disposal_gain", "grants", "other_income", "-restructuring_cost"))
    overheads = ("-research", "-selling", "-administration")
    derive("operating_profit", total("gross_profit", *overheads, "other_operating"))
    derive("ebitda", total("operating_profit", "depreciation_and_amortisation"))
    derive("finance_costs", total("interest_bank_loans", "interest_notes", "interest_leases", "facility_fees"))
    derive("profit_before_tax", total("operating_profit", "finance_income", "-finance_costs"))
    rate = "statutory_rate_basis_points"
    derive("tax_at_statutory", lambda year: (ledger("profit_before_tax", year) * ledger(rate, year) + 5_000) // 10_000)
    effects = ("non_deductible", "innovation_box", "foreign_rates", "prior_years", "rate_change")
    derive("tax", total("tax_at_statutory", *(f"tax_{name}" for name in effects)))
    derive("current_tax_expense", total("tax", "-deferred_tax_expense"))
    derive("profit", total("profit_before_tax", "-tax"))
    derive("translation", total("exchange_all", "exchange_cash"))
    derive("comprehensive_income", total("profit", "translation"))
    derive("employee_cost", total("wages", "social_security", "pension_contributions", "share_based_expense"))
    named = ("-materials", "-employee_cost", "-depreciation_and_amortisation")
    derive("other_expenses", total("cost_of_sales", "research", "selling", "administration", *named))
    derive("expenses", total("cost_of_sales", "research", "selling", "administration"))
    derive("employees", total(*(f"employees_{name}" for name in ("production", "service", "research", "other"))))


def _obligations(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    every = (2020, *YEARS)
    ledger.roll("current_tax_payable", "current_tax_expense", "-tax_paid")
    ledger.roll("deferred_tax_liability", "deferred_tax_expense")
    known = (f"-deferred_tax_{name}" for name in ("development", "property", "leases", "losses"))
    derive("deferred_tax_provisions", total("deferred_tax_liability", *known))
    ledger.roll("lease_liability", "lease_additions", "-lease_principal_paid")
    derive("lease_paid", total("lease_principal_paid", "interest_leases"))
    derive("lease_cash", total("lease_paid", "lease_short_term_expense"))
    derive("lease_non_current", total("lease_liability", "-lease_current"))
    for name in ("warranty", "restructuring"):
        ledger.roll(f"provision_{name}", f"{name}_added", f"-{name}_used", f"-{name}_released")
    derive("provisions", total("provision_warranty", "provision_restructuring"), every)
    derive("provisions_non_current", total("provisions", "-provisions_current"))
    ledger.roll("term_loan", "-term_loan_repaid")
    derive("notes", lambda year: ledger("notes", year - 1))
    ledger.roll("revolving", "revolving_change")
    derive("borrowings", total("term_loan", "notes", "revolving"), every)
    derive("borrowings_non_current", total("borrowings", "-borrowings_current"), every)
    derive("revolving_drawn", lambda year: max(ledger("revolving_change", year), 0))
    derive("revolving_repaid", lambda year: max(-ledger("revolving_change", year), 0))
    derive("borrowings_repaid", total("term_loan_repaid", "revolving_repaid"))


def _cash_flow(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive

    def change(line: str) -> Callable[[int], int]:
        return lambda year: ledger(line, year) - ledger(line, year - 1)

    for line in ("inventories", "receivables", "other_current_assets"):
        rise = change(line)
        derive(f"flow_{line}", lambda year, rise=rise: -rise(year))  # type: ignore[misc]
    for line in ("trade_payables", "other_payables", "contract_liabilities", "provisions"):
        derive(f"flow_{line}", change(line))
    derive("net_finance_costs", total("finance_costs", "-finance_income"))
    derive("interest_paid", total("finance_costs"))
    before = ("profit", "tax", "net_finance_costs", "depreciation_and_amortisation", "share_based_expense")
    derive("flow_before_working_capital", total(*before, "-disposal_gain", "flow_provisions"))
    flows = ("inventories", "receivables", "other_current_assets", "trade_payables", "other_payables")
    working = (*(f"flow_{name}" for name in flows), "flow_contract_liabilities")
    derive("flow_working_capital", total(*working))
    derive("cash_generated", total("flow_before_working_capital", "flow_working_capital"))
    derive("operating_cash_flow", total("cash_generated", "-interest_paid", "-tax_paid"))
    invested = ("-capex_all", "-intangible_additions", "disposal_proceeds", "finance_income")
    derive("investing_cash_flow", total(*invested))
    owners = ("-treasury_bought", "-dividend_paid")
    derive("financing_cash_flow", total("revolving_drawn", "-borrowings_repaid", "-lease_principal_paid", *owners))
    derive("net_cash_flow", total("operating_cash_flow", "investing_cash_flow", "financing_cash_flow"))
    ledger.roll("cash", "net_cash_flow", "exchange_cash")
    derive("opening_cash", lambda year: ledger("cash", year - 1))
    derive("free_cash_flow", total("operating_cash_flow", "investing_cash_flow", "-lease_principal_paid"))
    derive("capital_expenditure", total("capex_all", "intangible_additions"))
    derive("net_debt", total("borrowings", "lease_liability", "-cash"))
    derive("research_spending", total("research", "-development_amortisation", "development_additions"))


def _equity(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    derive("treasury_shares", lambda year: 0, (2020,))
    ledger.roll("treasury_shares", "-treasury_bought", "treasury_delivered")
    derive("vesting_difference", total("share_based_vested", "-treasury_delivered"))
    ledger.roll("share_based_reserve", "share_based_expense", "-share_based_vested")
    ledger.roll("translation_reserve", "translation")
    # The opening retained earnings are what balances the opening balance sheet; every later year must then balance.
    opening = _assets_total(ledger, 2020) - _liabilities_total(ledger, 2020)
    paid_in = ("share_capital", "share_premium", "treasury_shares", "share_based_reserve", "translation_reserve")
    derive("retained_earnings", lambda year: opening - total(*paid_in)(year), (2020,))
    ledger.roll("retained_earnings", "profit", "-dividend_paid", "vesting_difference")
    derive("equity", total(*paid_in, "retained_earnings"), (2020, *YEARS))


_ASSETS = ("property", "goodwill", "intangible", "right_of_use")
_CURRENT_ASSETS = ("inventories", "receivables", "other_current_assets", "cash")
_LIABILITIES = ("borrowings", "lease_liability", "deferred_tax_liability", "provisions")
_PAYABLES = ("trade_payables", "other_payables", "contract_liabilities", "current_tax_payable")


def _assets_total(ledger: Ledger, year: int) -> int:
    return ledger.sum_of(*_ASSETS, *_CURRENT_ASSETS)(year)


def _liabilities_total(ledger: Ledger, year: int) -> int:
    return ledger.sum_of(*_LIABILITIES, *_PAYABLES)(year)


def _balance(ledger: Ledger) -> None:
    total, derive = ledger.sum_of, ledger.derive
    derive("non_current_assets", total(*_ASSETS))
    derive("current_assets", total(*_CURRENT_ASSETS))
    derive("assets", total("non_current_assets", "current_assets"))
    later = ("borrowings_non_current", "lease_non_current", "deferred_tax_liability", "provisions_non_current")
    derive("non_current_liabilities", total(*later))
    soon = ("borrowings_current", "lease_current", "provisions_current", *_PAYABLES)
    derive("current_liabilities", total(*soon))
    derive("liabilities", total("non_current_liabilities", "current_liabilities"))
    derive("equity_and_liabilities", total("equity", "liabilities"))
    for year in YEARS:
        if ledger("assets", year) != ledger("equity_and_liabilities", year):
            raise ValueError(
                f"The balance sheet of {year} does not balance; look for a change that cash flow leaves out"
            )


def _per_share(ledger: Ledger) -> None:
    ledger.derive("diluted_shares_thousand", ledger.sum_of("average_shares_thousand", "dilutive_shares_thousand"))
    outstanding = ledger.sum_of("shares_issued_thousand", "-treasury_shares_thousand")
    ledger.derive("outstanding_shares_thousand", outstanding)
    ledger.derive("capital_employed", ledger.sum_of("equity", "net_debt"))
