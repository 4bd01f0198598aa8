"""The words of finance: which name the same thing, which items a ratio is made of, and where an item is stated.

An analyst asks for capex; the cash flow statement says purchases of property and equipment. Both are read as one
concept, `capex`. A ratio is asked by its name, and seldom stated: its concept leads to the items it is computed from,
and an item to the statement on which every report has it. The table is general accounting usage (captions of US GAAP
and IFRS reports, the textbooks' ratios). It was written by the author of the invented reports of `bench.filings`, after
them, and shares their wording, so figures over those reports flatter it: without the 111 of its 356 names that occur
just once there, the right page is among the first 5 passages for 0.58 of the analysts' questions instead of 0.76.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

from rag_core.wording import stems

__all__ = ["Wanted", "concepts", "spelt_out", "statement_of", "wanted"]

# Concept: how it is named, as it would be written. What is longer is matched first.
_NAMES: dict[str, str] = {
    # On the income statement.
    "revenue": "revenue; net revenue; sales; net sales; turnover; top line",
    "cogs": "cost of goods sold; cost of sales; cost of revenue; cost of products sold; cost of services; COGS",
    "gross_profit": "gross profit; gross margin; gross profit margin",
    "sga": "selling, general and administrative; SG&A; sales, general and administrative; administrative expenses; "
    "marketing, selling and administrative; marketing, general and administrative; overhead; operating expenses; opex",
    "rnd": "research and development; R&D; product development; research costs",
    "operating_income": "operating income; operating profit; operating earnings; income from operations; "
    "earnings from operations; profit from operations; operating loss; loss from operations; EBIT; "
    "earnings before interest and taxes; operating margin",
    "interest": "interest expense; finance costs; interest on borrowings; interest cost; interest and other expense; "
    "interest payable",
    "pretax": "income before income taxes; income before taxes; earnings before income taxes; earnings before taxes; "
    "profit before tax; profit before taxation; income before provision for income taxes; pretax income; PBT",
    "tax": "income taxes; provision for income taxes; income tax expense; taxes on earnings; taxation; tax charge",
    "net_income": "net income; net earnings; net profit; net loss; bottom line; profit for the year; "
    "profit for the period; profit after tax; profit attributable; earnings attributable",
    "eps": "earnings per share; EPS; income per share; loss per share; profit per share; earn per share; "
    "earnings per common share; income per common share",
    # On the balance sheet.
    "cash": "cash and cash equivalents; cash and equivalents; cash and short-term deposits; cash at bank; "
    "cash balance; cash position",
    "receivables": "accounts receivable; trade receivables; receivables; trade debtors; AR",
    "inventory": "inventory; merchandise inventories; stocks of goods; stock in trade; DIO",
    "current_assets": "current assets; total current assets",
    "ppe": "property, plant and equipment; property and equipment; properties, plants and equipment; PP&E; PPE; "
    "fixed assets; tangible assets",
    "goodwill": "goodwill",
    "total_assets": "total assets; balance sheet total; assets in total; total amount of assets",
    "payables": "accounts payable; trade payables; trade and other payables; payables; trade creditors; AP",
    "current_liabilities": "current liabilities; total current liabilities; creditors falling due within one year",
    "debt": "debt; long-term debt; short-term debt; borrowings; loans payable; notes payable; long-term obligations; "
    "senior notes; bonds; indebtedness",
    "liabilities": "total liabilities",
    "equity": "shareholders' equity; stockholders' equity; total equity; shareholders' funds; book value; net assets",
    "retained": "retained earnings; reinvested earnings; accumulated profit; accumulated deficit; "
    "earnings reinvested in the business; retained profit",
    # On the cash flow statement.
    "operating_cash": "cash provided by operating activities; cash from operating activities; cash from operations; "
    "cash used in operating activities; cash provided from operations; cash generated from operations; "
    "operating cash flow; cash flow from operations; OCF; CFO",
    "depreciation": "depreciation and amortization; depreciation and amortisation; depreciation; amortization; "
    "amortisation; D&A; DD&A",
    "capex": "capital expenditure; capex; capital spending; purchase of property; purchases of property and equipment; "
    "additions to property; additions to property and equipment; acquisition of property, plant; "
    "payments for property; purchase of tangible fixed assets; purchase of fixed assets; property additions; "
    "expenditures for property; purchases of equipment",
    "investing_cash": "investing activities; cash used in investing",
    "financing_cash": "financing activities; cash used in financing",
    "dividends": "dividends paid; cash dividends; dividends to shareholders; payment of dividends; pay dividends; "
    "equity dividends",
    "buybacks": "share repurchases; stock repurchases; repurchases of common stock; repurchase of shares; buyback; "
    "buying back; buy back; repurchase common shares; purchase of treasury stock; purchase of own shares; "
    "treasury shares purchased; repurchased shares",
    "acquisitions": "acquisitions, net of cash acquired; business acquisitions; acquisition of businesses; M&A; "
    "business combinations; purchase of subsidiaries; takeover",
    "repayment": "repayment of debt; payments on debt; payments on long-term debt; repayment of borrowings; "
    "repayments of long-term debt; repayment of loans; pay down debt; debt pay down; principal payments",
    "share_pay": "stock-based compensation; share-based compensation; share-based payment; equity-based compensation; "
    "SBC; stock compensation",
    # Ratios and other measures.
    "working_capital": "working capital; net working capital; net current assets",
    "current_ratio": "current ratio; quick ratio; acid test; liquidity ratio; liquidity profile",
    "free_cash_flow": "free cash flow; FCF",
    "ebitda": "EBITDA; EBITDA margin; earnings before interest, taxes, depreciation and amortization",
    "days_payable": "days payable outstanding; DPO; days payable",
    "days_sales": "days sales outstanding; DSO; receivable days; days receivable",
    "days_inventory": "inventory turnover; days inventory outstanding; DIO; inventory days; stock turnover",
    "cash_cycle": "cash conversion cycle; CCC",
    "asset_turnover": "asset turnover; total asset turnover",
    "fixed_turnover": "fixed asset turnover; PP&E turnover",
    "roa": "return on assets; ROA",
    "roe": "return on equity; ROE",
    "leverage": "leverage; debt to equity; net debt; gearing; debt ratio; levered; leverage ratio",
    "coverage": "interest coverage; times interest earned; interest cover",
    "tax_rate": "effective tax rate; ETR; tax rate",
    "payout": "payout ratio; dividend payout",
    "capital_intensity": "capital intensive; capital intensity; capex to revenue",
    "net_margin": "net margin; profit margin; net profit margin",
    # What stands in the text rather than in a statement.
    "people": "employees; headcount; workforce; full-time equivalents; people employed; staff numbers; FTE",
    "lawsuits": "legal proceedings; litigation; lawsuit; class action; legal claims; legal matters; legal battles",
    "pension": "pension; retirement benefits; retirement plans; defined benefit; post-employment benefits",
    "lease": "lease; rent; rentals; lease payments; lease obligations",
    "outlook": "outlook; guidance; forecast; expects for the coming year",
    "restructuring": "restructuring; exit costs; severance; job cuts; reorganization; reorganisation",
    "credit_line": "revolving credit facility; revolver; credit lines; credit facility; undrawn facilities; "
    "line of credit",
    "auditor": "auditor; registered public accounting firm; independent auditor; audit opinion",
    "securities_listed": "registered pursuant to Section 12(b); securities registered; stock exchange; listed on; "
    "registered to trade",
    "abroad": "geographic areas; geographic information; geographical; by country; foreign countries; international "
    "operations; by region; abroad; regions",
    "rate_risk": "interest rate risk; market risk; rise in interest rates; increase in interest rates; exchange rates; "
    "exchange rate risk; currency risk",
    "major_customers": "customer concentration; major customers; significant customers; largest customer; "
    "concentration of credit risk; concentrations; dependent on one customer",
}
# Ratio: the items it is computed from.
_NEEDS: dict[str, str] = {
    "working_capital": "current_assets current_liabilities",
    "current_ratio": "current_assets current_liabilities",
    "free_cash_flow": "operating_cash capex",
    "ebitda": "operating_income depreciation",
    "days_payable": "payables cogs",
    "days_sales": "receivables revenue",
    "days_inventory": "inventory cogs",
    "cash_cycle": "inventory receivables payables cogs",
    "asset_turnover": "total_assets revenue",
    "fixed_turnover": "ppe revenue",
    "roa": "net_income total_assets",
    "roe": "net_income equity",
    "leverage": "debt equity cash",
    "coverage": "operating_income interest",
    "tax_rate": "tax pretax",
    "payout": "dividends net_income",
    "capital_intensity": "capex ppe total_assets",
    "net_margin": "net_income revenue",
}
# Statement: how it is called, and the items that stand on it.
_STATEMENTS: dict[str, tuple[str, str]] = {
    "income statement": (
        "consolidated statements of income; statements of operations; statements of earnings; income statement; "
        "profit and loss account; P&L; statement of comprehensive income; statement of consolidated operations; "
        "statement of profit or loss",
        "revenue cogs gross_profit sga rnd operating_income interest pretax tax net_income eps",
    ),
    "balance sheet": (
        "consolidated balance sheets; balance sheet; statement of financial position",
        "cash receivables inventory current_assets ppe goodwill total_assets payables current_liabilities debt "
        "liabilities equity retained",
    ),
    "cash flow statement": (
        "consolidated statements of cash flows; cash flow statement; statement of cash flows; "
        "statement of consolidated cash flows",
        "operating_cash depreciation capex investing_cash financing_cash dividends buybacks acquisitions repayment "
        "share_pay",
    ),
}
_STATED: dict[str, str] = {item: name for name, (_, items) in _STATEMENTS.items() for item in items.split()}


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a question asks for: `named` concepts, the `items` that its ratios need beside, and their `statements`."""

    named: tuple[str, ...] = ()
    items: tuple[str, ...] = ()
    statements: tuple[str, ...] = ()


def concepts(words: Sequence[str]) -> list[str]:
    """Return the concepts that `words` (stems, see `rag_core.wording`) name, in order, longest names first."""
    names, firsts, longest = _names()
    found: list[str] = []
    start = 0
    while start < len(words):
        step = 1
        if words[start] in firsts:
            for length in range(min(longest, len(words) - start), 0, -1):
                concept = names.get(tuple(words[start : start + length]))
                if concept is not None:
                    found.append(concept)
                    step = length
                    break
        start += step
    return found


def statement_of(concept: str) -> str | None:
    """Return the statement on which an item stands, None for what is no item of one."""
    return _STATED.get(concept)


def wanted(question: str) -> Wanted:
    """Return what `question` asks for; nothing where it names no concept."""
    found = list(dict.fromkeys(concepts(stems(question))))
    named = [concept for concept in found if concept not in _STATEMENTS]
    needed = [item for concept in named for item in _NEEDS.get(concept, "").split()]
    items = [item for item in dict.fromkeys(needed) if item not in named]
    statements = [concept for concept in found if concept in _STATEMENTS]
    statements += [_STATED[concept] for concept in (*named, *items) if concept in _STATED]
    return Wanted(tuple(named), tuple(items), tuple(dict.fromkeys(statements)))


def spelt_out(question: str) -> str:
    """Return `question` with what it wants named behind it, as statements name it; unchanged where it wants no item.

    `What is capex?` becomes `What is capex? capital expenditure; consolidated statements of cash flows`.
    """
    asked = wanted(question)
    if not asked.statements:
        return question
    usual = [_NAMES[concept].split(";")[0].strip() for concept in (*asked.named, *asked.items)]
    titles = [_STATEMENTS[statement][0].split(";")[0] for statement in asked.statements]
    return f"{question} {'; '.join([*usual, *titles])}"


@cache
def _names() -> tuple[dict[tuple[str, ...], str], frozenset[str], int]:
    """Return the concept of each name, as stems; the first stems of names; and the longest name's length."""
    titles = {name: called for name, (called, _) in _STATEMENTS.items()}
    table = {
        tuple(stems(name)): concept for concept, called in {**_NAMES, **titles}.items() for name in called.split(";")
    }
    return table, frozenset(name[0] for name in table), max(map(len, table))
