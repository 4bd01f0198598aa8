"""Words from which `reports` makes tables and sentences."""

from __future__ import annotations

__all__ = ["AREAS", "CAUSES", "COMPANIES", "ITEMS", "MONTHS", "NATURES", "POLICIES", "SUFFIXES", "WHOLES"]

COMPANIES = tuple(
    "Aldergate Bramwell Castorix Dunmere Elvaston Ferrowick Glenholt Harrowby Istmere Jorvall Keldon Larkmoor Mondrake "
    "Norvane Ostrell Pendrick Quorrin Ravensby Solvane Tarrick Ulverby Vantrell Westmark Xandor Yarrowell Zelmont "
    "Ambrix Borealin Corvand Deltrix Emberlin Fenwold Granthor Hexamill Inverlay Juniper Kestrelon Lumeris".split()
)
SUFFIXES = (
    "Inc.",
    "plc",
    "Group",
    "Holdings",
    "AG",
    "Corporation",
    "Industries",
    "Ltd",
    "SE",
    "Technologies",
    "Partners",
)
MONTHS = "January February March April May June July August September October November December".split()
ITEMS = (
    "Revenue", "Net sales", "Cost of goods sold", "Gross profit", "Research and development", "Selling and marketing",
    "General and administrative expenses", "Operating income", "Interest expense", "Interest income", "Income tax expense",
    "Net income", "Diluted earnings per share", "Total assets", "Goodwill", "Inventories", "Raw materials",
    "Work in progress", "Finished goods", "Trade receivables", "Prepaid expenses", "Property, plant and equipment",
    "Accumulated depreciation", "Deferred tax assets", "Accounts payable", "Accrued liabilities", "Deferred revenue",
    "Long-term debt", "Current portion of long-term debt", "Lease liabilities", "Retained earnings", "Treasury shares",
    "Non-controlling interests", "Total equity", "Cash and cash equivalents", "Net cash from operating activities",
    "Capital expenditure", "Dividends paid", "Repurchase of shares", "Depreciation and amortisation",
    "Impairment of intangible assets", "Restructuring charges", "Stock-based compensation", "Foreign exchange loss",
    "Unrecognised tax benefits", "Pension obligations", "Service cost", "Expected return on plan assets", "Audit fees",
    "Tax fees", "Hardware sales", "Software subscriptions", "Maintenance services", "Professional services",
    "Domestic customers", "Europe", "Asia Pacific", "Latin America", "Number of employees", "Bad debt provision",
    "Warranty provision", "Purchase commitments", "Advertising costs", "Rental income", "Insurance premiums",
    "Fuel and oil", "Landing fees", "Commission income", "Loan losses", "Customer deposits", "Trading gains",
)  # fmt: skip
CAUSES = (
    "higher volumes in the industrial business", "lower raw material prices", "the closure of two plants in Ohio",
    "the strengthening of the US dollar", "the acquisition of a competitor", "increased headcount in engineering",
    "a decline in demand for older products", "the loss of a major customer", "higher freight and energy costs",
    "the adoption of the new lease standard", "price increases introduced in the spring", "a change in product mix",
    "settlement of a legal dispute", "lower average borrowings", "the opening of 42 new stores", "wage inflation",
    "the write-off of obsolete equipment", "a one-time tax benefit", "growth in subscription customers",
    "the timing of payments to suppliers", "weaker advertising markets", "delays in two government contracts",
    "unfavourable weather in the second quarter", "a lower effective tax rate", "an increase in professional fees",
    "the disposal of the packaging division", "stronger sales of replacement parts", "higher interest rates",
)  # fmt: skip
AREAS = (
    "North America", "the United Kingdom", "Germany", "Japan", "the automotive sector", "the public sector", "Brazil",
    "wholesale customers", "online stores", "the aerospace business", "South Korea", "manufacturing", "customer service",
    "the dental segment", "India", "franchise operations", "Scandinavia", "the marine division", "hospitals",
)  # fmt: skip
WHOLES = (
    "general and administrative expenses", "cost of revenues", "research costs", "selling expenses", "other assets",
    "other income items", "marketing costs", "deferred costs", "accrued expenses", "prepaid items", "all other fees",
    "intangible assets", "contract assets", "occupancy costs", "finance costs", "property holdings", "service revenues",
)  # fmt: skip
NATURES = (
    "salaries and related benefits", "rent", "professional fees", "insurance", "travel", "depreciation", "amortisation",
    "advertising", "commissions paid to agents", "freight", "royalties", "stock-based compensation", "consulting fees",
    "audit fees", "utilities", "software licences", "trade shows", "legal costs", "bank charges", "spare parts",
    "customer relationships", "trademarks", "deposits with suppliers", "training", "warranty claims", "tooling",
)  # fmt: skip
# Sentence, question, answer.
POLICIES = (
    ("Buildings are depreciated on a straight-line basis over {years} years.",
     "Over how many years are buildings depreciated?", "{years} years"),
    ("Inventories are stated at the lower of cost and net realisable value, cost being determined by the first-in, "
     "first-out method.", "How are inventories valued?", "at the lower of cost and net realisable value"),
    ("The Company adopted the new standard on {date} using the modified retrospective approach.",
     "When was the new standard adopted?", "{date}"),
    ("The Company adopted the new standard on {date} using the full retrospective approach.",
     "Which approach was used to adopt the new standard?", "the full retrospective approach"),
    ("The weighted average discount rate of our leases was {rate}.",
     "What was the weighted average discount rate of the leases?", "{rate}"),
    ("The notes bear interest at {rate} and mature on {date}.", "When do the notes mature?", "{date}"),
    ("The notes bear interest at {rate} and mature on {date}.", "What interest rate do the notes bear?", "{rate}"),
    ("Revenue is recognised when control of the goods passes to the customer, generally on delivery.",
     "When is revenue recognised?", "when control of the goods passes to the customer"),
    ("Goodwill is not amortised but tested for impairment at least once a year.",
     "How often is goodwill tested for impairment?", "at least once a year"),
    ("Options vest over {years} years and expire {years} years later.", "Over what period do options vest?",
     "{years} years"),
    ("Treasury shares are held to meet obligations under employee share plans.", "Why does the company hold treasury shares?",
     "to meet obligations under employee share plans"),
    ("Functional currency of {name} is the euro.", "What is the functional currency of {name}?", "the euro"),
    ("Customers may cancel their subscription with a notice of {years} days.", "How much notice must customers give to cancel?",
     "{years} days"),
    ("The Board has authorised a share buyback that expires on {date}.", "When does the share buyback expire?", "{date}"),
    ("We use forward contracts to reduce the effect of exchange rates on our results.", "Why are forward contracts used?",
     "to reduce the effect of exchange rates on our results"),
    ("{name} is headquartered in Rotterdam and was incorporated on {date}.", "Where is {name} headquartered?", "Rotterdam"),
    ("{name} is headquartered in Rotterdam and was incorporated on {date}.", "When was {name} incorporated?", "{date}"),
    ("No single customer accounted for more than {rate} of receivables.",
     "What was the most that a single customer accounted for?", "{rate}"),
)  # fmt: skip
