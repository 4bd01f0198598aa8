"""The invented company's figures, computed so that statements and notes agree with each other. Thousands of euros."""

from __future__ import annotations

from dataclasses import dataclass, field

__all__ = ["COMPANY", "YEARS", "Company", "Year", "figure"]

NAME = "Halden Instruments N.V."
YEARS = (2021, 2022, 2023)
SHARES = 24_000  # thousand shares, unchanged in all years
OPTIONS = 420  # thousand dilutive options
TAX_RATE = 0.25


def figure(value: float, *, decimals: int = 0) -> str:
    """Return a figure as accounts print it: thousands separated, negatives in brackets, nothing as a dash."""
    if round(value, decimals) == 0:
        return "-"
    text = f"{abs(value):,.{decimals}f}"
    return f"({text})" if value < 0 else text


@dataclass(frozen=True)
class Inputs:
    """What is decided for a year; all else follows."""

    industrial: int
    medical: int
    services: int
    cost_of_sales: int
    research: int
    selling: int
    administration: int
    depreciation: int
    lease_depreciation: int
    amortisation: int
    capex: int
    development: int
    lease_additions: int
    lease_payments: int
    lease_interest: int
    loan_interest: int
    new_debt: int
    dividends: int
    share_based_pay: int
    receivables: int
    inventories: int
    payables: int


@dataclass(frozen=True)
class Year:
    """One year of all statements. Expenses and outflows are positive here and shown negative by the report."""

    inputs: Inputs
    revenue: int
    gross_profit: int
    operating_profit: int
    finance_cost: int
    profit_before_tax: int
    tax: int
    profit: int
    ppe: int
    right_of_use: int
    intangibles: int
    cash: int
    debt: int
    lease_liabilities: int
    equity: int
    working_capital_change: int
    operating_cash: int
    investing_cash: int
    financing_cash: int
    opening: Balances

    @property
    def total_assets(self) -> int:
        """Everything owned."""
        fixed = self.ppe + self.right_of_use + GOODWILL + self.intangibles
        return fixed + self.inputs.inventories + self.inputs.receivables + self.cash

    @property
    def total_liabilities(self) -> int:
        """Everything owed."""
        return self.debt + self.lease_liabilities + self.inputs.payables

    @property
    def ebitda(self) -> int:
        """Operating profit before depreciation and amortisation."""
        item = self.inputs
        return self.operating_profit + item.depreciation + item.lease_depreciation + item.amortisation

    @property
    def basic_eps(self) -> float:
        """Euros a share."""
        return self.profit / SHARES

    @property
    def diluted_eps(self) -> float:
        """Euros a share with all options exercised."""
        return self.profit / (SHARES + OPTIONS)


@dataclass(frozen=True)
class Balances:
    """What a year starts from."""

    ppe: int
    right_of_use: int
    intangibles: int
    cash: int
    debt: int
    lease_liabilities: int
    equity: int
    receivables: int
    inventories: int
    payables: int


GOODWILL = 48_200
_OPENING = Balances(96_400, 18_900, 21_300, 31_750, 85_000, 19_400, 154_250, 58_600, 47_300, 63_800)
_INPUTS = {
    2021: Inputs(
        198_400, 92_700, 49_300, 204_240, 27_230, 38_150, 21_900, 12_480, 4_150, 5_020, 14_900, 6_800, 3_600, 4_700,
        610, 2_890, 0, 12_000, 1_150, 61_200, 50_100, 65_300,
    ),
    2022: Inputs(
        219_600, 112_900, 55_600, 228_310, 31_440, 41_870, 23_350, 13_210, 4_390, 5_480, 21_700, 8_100, 5_200, 5_050,
        640, 3_120, 15_000, 14_400, 1_320, 68_900, 58_700, 70_150,
    ),
    2023: Inputs(
        233_500, 118_200, 60_900, 238_920, 34_980, 43_610, 24_720, 14_350, 4_620, 5_910, 24_300, 9_400, 4_800, 5_300,
        690, 3_910, -10_000, 16_800, 1_480, 71_600, 56_200, 72_900,
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Company:
    """All years."""

    name: str = NAME
    years: dict[int, Year] = field(default_factory=dict)

    def row(self, label: str, values: list[float], *, decimals: int = 0) -> list[str]:
        """Return a table row, the latest year first as accounts have it."""
        return [label, *(figure(value, decimals=decimals) for value in reversed(values))]


def _year(inputs: Inputs, opening: Balances) -> Year:
    item = inputs
    revenue = item.industrial + item.medical + item.services
    gross = revenue - item.cost_of_sales
    operating = gross - item.research - item.selling - item.administration
    finance = item.loan_interest + item.lease_interest
    before_tax = operating - finance
    tax = round(before_tax * TAX_RATE)
    profit = before_tax - tax
    old = opening.receivables + opening.inventories - opening.payables
    working_capital = -((item.receivables + item.inventories - item.payables) - old)
    charges = item.depreciation + item.lease_depreciation + item.amortisation + item.share_based_pay
    operating_cash = profit + charges + working_capital
    investing = -(item.capex + item.development)
    # The interest part of lease payments stands in profit already; the rest repays the liability.
    financing = item.new_debt - (item.lease_payments - item.lease_interest) - item.dividends
    return Year(
        inputs=item,
        revenue=revenue,
        gross_profit=gross,
        operating_profit=operating,
        finance_cost=finance,
        profit_before_tax=before_tax,
        tax=tax,
        profit=profit,
        ppe=opening.ppe + item.capex - item.depreciation,
        right_of_use=opening.right_of_use + item.lease_additions - item.lease_depreciation,
        intangibles=opening.intangibles + item.development - item.amortisation,
        cash=opening.cash + operating_cash + investing + financing,
        debt=opening.debt + item.new_debt,
        lease_liabilities=opening.lease_liabilities + item.lease_additions + item.lease_interest - item.lease_payments,
        equity=opening.equity + profit + item.share_based_pay - item.dividends,
        working_capital_change=working_capital,
        operating_cash=operating_cash,
        investing_cash=investing,
        financing_cash=financing,
        opening=opening,
    )


def _company() -> Company:
    years: dict[int, Year] = {}
    opening = _OPENING
    for number in YEARS:
        year = _year(_INPUTS[number], opening)
        years[number] = year
        item = year.inputs
        opening = Balances(
            year.ppe, year.right_of_use, year.intangibles, year.cash, year.debt, year.lease_liabilities, year.equity,
            item.receivables, item.inventories, item.payables,
        )  # fmt: skip
    return Company(years=years)


COMPANY = _company()
