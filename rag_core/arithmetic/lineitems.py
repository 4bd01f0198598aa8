"""Line items of financial statements by the names that rows print, as US GAAP and IFRS reports caption them.

Unlike `rag_core.words.captions`, which widens a search, a name here is the whole row: "Inventories, net" is inventory, "Change
in inventories" and "Inventory write-downs" are not.
"""

from __future__ import annotations

import re

from rag_core.arithmetic.wording import folded

__all__ = ["is_statement_heading", "item_of"]

_ASIDE = re.compile(r"\([^()]*\)|\[[^\[\]]*\]|\bnotes? \d+(?:[.,]\d+)*\b|[*†‡:]|\b(?:\d{1,2}(?:\.\d)?)$")
# What is longer names no row.
_LONGEST = 200
_NET = (
    r"(?:,? net(?: of .*)?|,? less (?:allowance|accumulated|provision|current|bad|doubtful|discount|unamorti[sz]ed).*)?"
)

# Item: the pattern of a whole row's name, without what stands in brackets.
_ROWS: dict[str, re.Pattern[str]] = {
    item: re.compile(rf"(?:{pattern}){_NET}")
    for item, pattern in {
        "revenue": r"(?:total |net |group |consolidated )*(?:(?:operating )?revenues?|sales|turnover)(?: and other income)?"
        r"|revenues? from (?:continuing operations|contracts with customers)|sales revenues?|total net (?:revenues?|sales)",
        "cost of sales": r"(?:total )?costs? of (?:goods sold|(?:net )?sales|revenues?|products? sold|goods|products and services"
        r"|merchandise sold|sales and services)(?:, excl.*)?",
        "gross profit": r"gross (?:profit|income|margin)",
        "operating income": r"(?:total )?(?:operating (?:income|profit|earnings|result|loss)|(?:income|profit|earnings|loss) "
        r"from operations|results? from operating activities|operating income or loss|ebit)(?: before .*)?",
        "depreciation and amortization": r"depreciation(?:(?:,| and|, depletion,? and) amorti[sz]ation)?"
        r"(?: and impairment)?(?: expense| charges?)?|d&a",
        "interest expense": r"(?:total |gross )?interest (?:expense|charges?|costs?|payable)"
        r"|finance (?:costs?|expenses?|charges?)|financial expenses?|interest and (?:finance|other) (?:costs?|expense|charges?)",
        "income before taxes": r"(?:total )?(?:(?:consolidated )?(?:income|profit|earnings|loss)"
        r"(?: from continuing operations)?(?: or loss)? before (?:provision for |benefit from |the )?"
        r"(?:income )?tax(?:es|ation)?(?: expense)?|pre-?tax (?:income|profit|earnings)"
        r"|profit on ordinary activities before tax(?:ation)?)",
        "income taxes": r"(?:total )?(?:(?:provision|benefit|charge) for (?:income )?tax(?:es|ation)|(?:income )?tax(?:es)?"
        r" (?:expense|charge|provision)|income tax(?:es)?|taxation|provision for income tax expense"
        r"|tax on (?:profit|ordinary activities)(?: on ordinary activities)?|taxes on income)",
        "net income": r"(?:consolidated )?(?:net (?:income|profit|earnings|loss)|(?:profit|income|loss) "
        r"for the (?:financial |fiscal )?(?:year|period)|profit after tax(?:ation)?|net result)",
        "cash": r"cash(?: and| &|,) cash equivalents|cash and (?:short-term deposits|equivalents)|cash at bank(?: and in hand)?",
        "receivables": r"(?:total )?(?:(?:trade |accounts )?(?:and other )?receivables?|trade (?:accounts )?receivables?"
        r"|trade and other receivables|trade debtors|customer receivables)",
        "inventory": r"(?:total )?(?:merchandise )?inventor(?:y|ies)|stocks?(?: and work in progress)?",
        "current assets": r"(?:total )?current assets",
        "property, plant and equipment": r"(?:total )?(?:property(?:, plant)?,? and equipment|property, plant, and equipment"
        r"|fixed assets|tangible (?:fixed )?assets)",
        "total assets": r"total assets|balance sheet total",
        "payables": r"(?:total )?(?:accounts payable|trade (?:and other )?payables|trade accounts payable|trade creditors)",
        "current liabilities": r"(?:total )?current liabilities|creditors amounts falling due within one year",
        "total liabilities": r"total liabilities",
        "equity": r"total (?:share(?:holders|owners)|stockholders|owners)'? (?:equity|funds|deficit)|total equity|equity"
        r"|(?:share|stock)holders'? (?:equity|funds)"
        r"|equity attributable to (?:the )?(?:owners|shareholders|equity holders) of (?:the )?(?:parent|company|group)",
        "total debt": r"total (?:debt|borrowings|financial debt|interest-bearing (?:debt|liabilities))",
        "long-term debt": r"(?:long-term|non-?current) (?:debt|borrowings|debt obligations)(?:,? (?:net of|excluding|less) .*)?"
        r"|borrowings|interest-bearing (?:loans and borrowings|liabilities)|loans and borrowings",
        "short-term debt": r"current (?:portion|maturities|installments) of (?:long-term )?(?:debt|borrowings|notes payable)"
        r"|(?:short-term|current) (?:debt|borrowings|loans)|bank overdrafts?|commercial paper"
        r"|(?:long-term )?debt (?:due|maturing|payable) within one year",
        "operating cash flow": r"(?:total )?(?:net )?cash (?:flows? )?(?:generated |provided |used |inflow |flows? )*"
        r"(?:by|from|in|for)(?: or used in)? (?:continuing )?operat(?:ing activities|ions)"
        r"|operating cash flow|cash flow from operations",
        "capital expenditure": r"(?:capital (?:expenditures?|spending)|capex|(?:purchases?|acquisitions?) of (?:property|tangible"
        r"|fixed|plant).*|additions to (?:property|plant).*|payments (?:for|to acquire) property.*"
        r"|expenditures? (?:for|on) property.*)",
        "dividends": r"(?:cash )?dividends paid(?: to .*)?|(?:payments? of )(?:cash )?dividends.*"
        r"|dividends to (?:share|stock)holders|(?:equity|cash) dividends",
    }.items()
}
# Headings that stand inside of statements and name no part of the firm.
_HEADINGS = re.compile(
    r"\b(?:assets?|liabilit(?:y|ies)|equity|funds|debt|borrowings|activit(?:y|ies)|revenues?|sales|costs?|expenses?|earnings|income"
    r"|profit|loss|operations|cash|reserves|creditors|numerator|denominator|adjustments?|basic|diluted|shares?|taxes|taxation"
    r"|statements?|balance|consolidated|group|total|non-?current|current|years?)\b"
)


def item_of(label: str) -> str:
    """Return the line item that a row's whole name stands for, "" where it is none of these."""
    name = " ".join(_ASIDE.sub(" ", folded(label[:_LONGEST])).split()).strip(" ,.-–")
    return next((item for item, pattern in _ROWS.items() if pattern.fullmatch(name)), "")


def is_statement_heading(text: str) -> bool:
    """Tell whether a heading inside a table is one of a statement ("Current assets"), not of a division ("Water")."""
    return bool(_HEADINGS.search(folded(text)))
