"""The words of finance as tables: how each concept is named, what a ratio is made of, and what stands on a statement.

General accounting usage: captions of US GAAP and IFRS reports, the textbooks' ratios, the usual abbreviations.
`rag_core.words.vocabulary` reads texts and questions by them.
"""

from __future__ import annotations

__all__ = ["NAMES", "NEEDS", "STATEMENTS"]

# Concept: how it is named, as it would be written. What is longer is matched first.
NAMES: dict[str, str] = {
    # On the income statement.
    "revenue": "revenue; net revenue; sales; net sales; turnover; top line",
    "cogs": "cost of goods sold; cost of goods; cost of sales; cost of revenue; costs of revenue; cost of products sold; "
    "cost of services; cost of merchandise; cost of product; costs of goods; direct costs; COGS; COS",
    "gross_profit": "gross profit; gross margin; gross profit margin; gross income",
    "sga": "selling, general and administrative; SG&A; SGA; sales, general and administrative; administrative expenses; "
    "marketing, selling and administrative; marketing, general and administrative; overhead; operating expenses; opex; "
    "general and administrative; G&A; selling and administrative",
    "marketing": "advertising; advertising expense; marketing expense; marketing costs; sales and marketing; S&M",
    "rnd": "research and development; R&D; RD&E; research, development; product development; research costs; "
    "technology and development; technology and content",
    "operating_income": "operating income; operating profit; operating earnings; income from operations; "
    "earnings from operations; profit from operations; operating loss; loss from operations; EBIT; NOPAT; "
    "earnings before interest and taxes; earnings before interest and tax; operating margin; operating result",
    "interest": "interest expense; finance costs; interest on borrowings; interest cost; interest and other expense; "
    "interest payable; finance charges; finance expense; interest charges; net interest; borrowing costs",
    "other_income": "other income; other expense; other income and expense; non-operating income; nonoperating income",
    "pretax": "income before income taxes; income before taxes; earnings before income taxes; earnings before taxes; "
    "profit before tax; profit before taxation; income before provision for income taxes; pretax income; PBT; EBT; "
    "pre-tax income; pre-tax profit; pre-tax earnings; pretax profit; pretax earnings; before provision for income taxes",
    "tax": "income taxes; provision for income taxes; income tax expense; taxes on earnings; taxation; tax charge; "
    "income tax provision; tax provision; tax expense; provision for taxes; benefit from income taxes",
    "net_income": "net income; net earnings; net profit; net loss; bottom line; profit for the year; "
    "profit for the period; profit after tax; profit attributable; earnings attributable; loss for the year; "
    "earnings after tax; income attributable; PAT",
    "eps": "earnings per share; EPS; income per share; loss per share; profit per share; earn per share; "
    "earnings per common share; income per common share; loss per common share; earnings per ordinary share",
    "share_count": "weighted average shares; weighted average number of shares; weighted average common shares; "
    "diluted shares; shares used in computing; share count",
    # On the balance sheet.
    "cash": "cash and cash equivalents; cash and equivalents; cash and short-term deposits; cash at bank; "
    "cash balance; cash position; cash on hand; cash in hand; cash, cash equivalents; cash reserves",
    "securities": "marketable securities; short-term investments; available-for-sale; current asset investments",
    "receivables": "accounts receivable; trade receivables; receivables; trade debtors; AR; notes receivable",
    "inventory": "inventory; merchandise inventories; stocks of goods; stock in trade; stocks and work in progress",
    "current_assets": "current assets; total current assets",
    "ppe": "property, plant and equipment; property and equipment; properties, plants and equipment; PP&E; PPE; "
    "property, plant, equipment; fixed assets; tangible assets; land, buildings and equipment; premises and equipment",
    "goodwill": "goodwill",
    "intangibles": "intangible assets; intangibles; identifiable intangible assets",
    "total_assets": "total assets; balance sheet total; assets in total; total amount of assets; asset base",
    "payables": "accounts payable; trade payables; trade and other payables; payables; trade creditors; AP",
    "accrued": "accrued liabilities; accrued expenses; accruals; accrued compensation",
    "deferred_revenue": "deferred revenue; unearned revenue; contract liabilities; deferred income; customer deposits",
    "current_liabilities": "current liabilities; total current liabilities; creditors falling due within one year",
    "debt": "debt; long-term debt; short-term debt; borrowings; loans payable; notes payable; long-term obligations; "
    "senior notes; bonds; indebtedness; commercial paper; term loan; debentures; convertible notes; LTD",
    "liabilities": "total liabilities",
    "equity": "shareholders' equity; stockholders' equity; total equity; shareholders' funds; book value; net assets; "
    "shareholders' investment; shareowners' equity; owners' equity; stockholders' deficit; shareholders' deficit",
    "minority": "noncontrolling interest; non-controlling interest; minority interest; redeemable noncontrolling interest",
    "retained": "retained earnings; reinvested earnings; accumulated profit; accumulated deficit; "
    "earnings reinvested in the business; retained profit",
    # On the cash flow statement.
    "operating_cash": "cash provided by operating activities; cash from operating activities; cash from operations; "
    "cash used in operating activities; cash provided from operations; cash generated from operations; "
    "operating cash flow; cash flow from operations; OCF; CFO; operating activities; cash provided by operations; "
    "cash generated by operations; operating cash",
    "depreciation": "depreciation and amortization; depreciation and amortisation; depreciation; amortization; "
    "amortisation; D&A; DD&A; depreciation, depletion and amortization",
    "capex": "capital expenditure; capex; capital spending; purchase of property; purchases of property and equipment; "
    "additions to property; additions to property and equipment; acquisition of property; "
    "payments for property; purchase of tangible fixed assets; purchase of fixed assets; property additions; "
    "expenditures for property; purchases of equipment; payments to acquire property; investment in property; "
    "expenditure on property; capital investment; capital outlays; additions to plant; purchase of plant; cap ex",
    "investing_cash": "investing activities; cash used in investing; investing cash flow",
    "financing_cash": "financing activities; cash used in financing; financing cash flow",
    "dividends": "dividends paid; cash dividends; dividends to shareholders; payment of dividends; pay dividends; "
    "equity dividends; payments of dividends; payment of cash dividends; dividends to stockholders; dividend payments",
    "buybacks": "share repurchases; stock repurchases; repurchases of common stock; repurchase of shares; buyback; "
    "buying back; buy back; repurchase common shares; purchase of treasury stock; purchase of own shares; "
    "treasury shares purchased; repurchased shares; purchases of common stock; treasury stock purchases; "
    "repurchase of common shares; acquisition of treasury shares; repurchase of stock; purchase of treasury shares",
    "acquisitions": "acquisitions, net of cash acquired; business acquisitions; acquisition of businesses; M&A; "
    "business combinations; purchase of subsidiaries; takeover; acquisitions of businesses; "
    "payments for acquisitions; net of cash acquired",
    "repayment": "repayment of debt; payments on debt; payments on long-term debt; repayment of borrowings; "
    "repayments of long-term debt; repayment of loans; pay down debt; debt pay down; principal payments; "
    "payments of long-term debt; repayment of notes; retirement of debt; payments of debt; repayment of term loans",
    "debt_issued": "proceeds from issuance of debt; proceeds from borrowings; issuance of long-term debt; "
    "proceeds from long-term debt; proceeds from issuance of long-term debt; proceeds from debt; issuance of debt",
    "share_pay": "stock-based compensation; share-based compensation; share-based payment; equity-based compensation; "
    "SBC; stock compensation; share-based awards; equity compensation",
    # Ratios and other measures.
    "working_capital": "working capital; net working capital; net current assets; NWC",
    "current_ratio": "current ratio; liquidity ratio; liquidity profile; liquidity position",
    "quick_ratio": "quick ratio; acid test; quick assets; acid test ratio; cash ratio",
    "cash_coverage": "operating cash flow ratio; cash flow coverage; cash flow to debt",
    "free_cash_flow": "free cash flow; FCF; FCFF; FCFE; unlevered free cash flow",
    "ebitda": "EBITDA; EBITDA margin; earnings before interest, taxes, depreciation and amortization; "
    "earnings before interest, tax, depreciation and amortisation; EBITDAR",
    "days_payable": "days payable outstanding; DPO; days payable; payables turnover; payable turnover; payable days; "
    "accounts payable turnover; creditor days",
    "days_sales": "days sales outstanding; DSO; receivable days; days receivable; receivables turnover; "
    "accounts receivable turnover; debtor days; collection period",
    "days_inventory": "inventory turnover; days inventory outstanding; DIO; DSI; inventory days; stock turnover; "
    "days of inventory; days sales in inventory; inventory turns",
    "cash_cycle": "cash conversion cycle; CCC; cash cycle; operating cycle",
    "asset_turnover": "asset turnover; total asset turnover",
    "fixed_turnover": "fixed asset turnover; PP&E turnover; property and equipment turnover",
    "roa": "return on assets; ROA; return on total assets; ROTA",
    "roe": "return on equity; ROE; return on shareholders' equity; return on stockholders' equity",
    "roic": "return on invested capital; ROIC; ROCE; return on capital employed; return on capital; invested capital; "
    "capital employed",
    "leverage": "leverage; debt to equity; net debt; gearing; debt ratio; levered; leverage ratio; D/E ratio; "
    "debt to capital; debt to total capital; capital structure; capitalization ratio; net leverage",
    "debt_assets": "debt to assets; debt to total assets; liabilities to assets; debt to asset ratio",
    "debt_ebitda": "debt to EBITDA; net debt to EBITDA; debt/EBITDA",
    "multiplier": "equity multiplier; assets to equity; financial leverage ratio",
    "coverage": "interest coverage; times interest earned; interest cover; interest coverage ratio; "
    "debt service coverage; DSCR; fixed charge coverage",
    "tax_rate": "effective tax rate; ETR; tax rate; effective rate; effective income tax rate",
    "payout": "payout ratio; dividend payout; retention ratio; plowback ratio; dividend cover; sustainable growth rate",
    "book_share": "book value per share; BVPS; net assets per share",
    "cash_conversion": "cash conversion; cash conversion ratio; quality of earnings; earnings quality; accruals ratio",
    "capital_intensity": "capital intensive; capital intensity; capex to revenue; capex intensity",
    "net_margin": "net margin; profit margin; net profit margin; profitability; margin profile; net income margin",
    # What stands in the text rather than in a statement.
    "segments": "segments; reportable segments; operating segments; business segments; segment information; divisions; "
    "business units; product lines; product categories; lines of business",
    "people": "employees; headcount; workforce; full-time equivalents; people employed; staff numbers; FTE; human capital",
    "lawsuits": "legal proceedings; litigation; lawsuit; class action; legal claims; legal matters; legal battles; "
    "loss contingencies; legal contingencies; pending claims",
    "pension": "pension; retirement benefits; retirement plans; defined benefit; post-employment benefits; "
    "postretirement benefits; projected benefit obligation; funded status",
    "lease": "lease; rent; rentals; lease payments; lease obligations; operating leases; right-of-use; lease liabilities",
    "outlook": "outlook; guidance; forecast; expects for the coming year; full-year outlook; financial targets",
    "restructuring": "restructuring; exit costs; severance; job cuts; reorganization; reorganisation; exit activities; "
    "cost reduction program; workforce reduction; layoffs; redundancies",
    "impairment": "impairment; impairment charges; write-down; write-off; impaired",
    "credit_line": "revolving credit facility; revolver; credit lines; credit facility; undrawn facilities; "
    "line of credit; credit agreement; revolving credit agreement; revolving facility; RCF; liquidity facility",
    "covenants": "covenants; financial covenants; compliance with covenants; debt covenants; events of default",
    "auditor": "auditor; registered public accounting firm; independent auditor; audit opinion; critical audit matter; "
    "auditors' report",
    "securities_listed": "registered pursuant to Section 12(b); securities registered; stock exchange; listed on; "
    "registered to trade; trading symbol; ticker symbol; title of each class",
    "votes": "annual meeting of shareholders; annual meeting of stockholders; annual meeting; votes cast; votes for; "
    "votes against; broker non-votes; shareholder proposal; stockholder proposal; say on pay; proxy; "
    "election of directors; elected directors; matters submitted to a vote; vote of security holders; shareholder vote",
    "abroad": "geographic areas; geographic information; geographical; by country; foreign countries; international "
    "operations; by region; abroad; regions; geography; by geography; by geographic region; geographic segments",
    "rate_risk": "interest rate risk; market risk; rise in interest rates; increase in interest rates; exchange rates; "
    "exchange rate risk; currency risk; foreign exchange risk; commodity price risk; hedging",
    "major_customers": "customer concentration; major customers; significant customers; largest customer; "
    "concentration of credit risk; concentrations; dependent on one customer; largest customers",
    "risks": "risk factors; principal risks; key risks; risks and uncertainties",
    "cyber": "cybersecurity; cyber attacks; data breach; security breach; information security",
    "controls": "internal control; internal controls; disclosure controls; material weakness; control deficiency",
    "seasonality": "seasonality; seasonal; seasonal patterns; cyclicality; cyclical",
    "tax_note": "statutory rate; statutory tax rate; deferred tax assets; valuation allowance; unrecognized tax benefits; "
    "unrecognised tax benefits; rate reconciliation",
    "backlog": "backlog; remaining performance obligations; RPO; order book; unfilled orders",
    "subsequent": "subsequent events; events after the reporting period; post balance sheet events",
    "related": "related parties; related party transactions; related party",
    "allowance": "allowance for doubtful accounts; allowance for credit losses; bad debts; doubtful accounts; "
    "expected credit losses",
    "critical_estimates": "critical accounting policies; critical accounting estimates; significant estimates",
    "buyback_plan": "share repurchase program; stock repurchase program; repurchase authorization; "
    "issuer purchases of equity securities; share repurchase programme; repurchase program",
    "causes": "drove; driver; driven; reason; attributable; primarily due; mainly due; due primarily; due mainly; "
    "partially offset; partly offset; primarily reflecting; cause; caused; led to",
    "rating": "credit rating; credit ratings; investment grade; rating agencies",
    "pay": "executive compensation; named executive officers; compensation of directors",
}
# Ratio: the items it is computed from.
NEEDS: dict[str, str] = {
    "working_capital": "current_assets current_liabilities",
    "current_ratio": "current_assets current_liabilities",
    "quick_ratio": "cash securities receivables current_liabilities",
    "cash_coverage": "operating_cash current_liabilities",
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
    "roic": "operating_income debt equity",
    "leverage": "debt equity cash",
    "debt_assets": "debt total_assets",
    "debt_ebitda": "debt cash operating_income depreciation",
    "multiplier": "total_assets equity",
    "coverage": "operating_income interest",
    "tax_rate": "tax pretax",
    "payout": "dividends net_income",
    "book_share": "equity share_count",
    "cash_conversion": "operating_cash net_income",
    "capital_intensity": "capex ppe total_assets",
    "net_margin": "net_income revenue",
}
# Statement: how it is called, and the items that stand on it.
STATEMENTS: dict[str, tuple[str, str]] = {
    "income statement": (
        "consolidated statements of income; statements of operations; statements of earnings; income statement; "
        "profit and loss account; P&L; statement of comprehensive income; statement of consolidated operations; "
        "statement of profit or loss; statement of income; statement of consolidated income; consolidated income; "
        "statement of consolidated earnings; consolidated results of operations; statement of net income",
        "revenue cogs gross_profit sga marketing rnd operating_income interest other_income pretax tax net_income eps "
        "share_count",
    ),
    "balance sheet": (
        "consolidated balance sheets; balance sheet; statement of financial position; statement of financial condition; "
        "consolidated financial position",
        "cash securities receivables inventory current_assets ppe goodwill intangibles total_assets payables accrued "
        "deferred_revenue current_liabilities debt liabilities equity minority retained",
    ),
    "cash flow statement": (
        "consolidated statements of cash flows; cash flow statement; statement of cash flows; "
        "statement of consolidated cash flows; consolidated cash flows",
        "operating_cash depreciation capex investing_cash financing_cash dividends buybacks acquisitions repayment "
        "debt_issued share_pay",
    ),
}
