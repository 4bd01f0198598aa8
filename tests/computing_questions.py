"""Excerpts of invented reports, with tables and with sentences, and what analysts ask that they do not print.

By kind of computation. None where nothing may be computed: the text says it outright, an operand or a period is missing,
or the question could mean two things.
"""

from __future__ import annotations

FERRIES = """Tidewater Crossings plc – Operating review
Revenue rose from £41.6m to £44.9m in the year to March 2022. Fuel took 23.4% of revenue (2021: 18.9%), and the crew cost \
£12.7m (2021: £11.9m). The fleet stood at nine vessels. Of the £18.0m facility agreed with Barrow Bank, £6.5m was drawn at \
the year end. On-time departures were 91.2%, against 94.0% in the year before. Capital expenditure of £7.4m included £5.1m \
for the new berth at Saltholme.
"""

MILL = """Corrigan Paper Mills – Segment note
EUR million
 | 2021 | 2020
Net sales – Tissue | 312.4 | 298.1
Net sales – Board | 201.7 | 215.3
Net sales – Pulp | 88.2 | 70.9
Total net sales | 602.3 | 584.3
Cost of sales | (431.0) | (419.6)
Operating profit – Tissue | 40.6 | 36.2
Operating profit – Board | 11.9 | 18.0
Operating profit – Pulp | 9.4 | (2.1)
Head office | (7.5) | (6.8)
Finance costs | (12.4) | (10.1)
Board suffered from a strike at the Lund works. Tissue's operating margin was 13.0% (2020: 12.1%).
"""

BANK = """Penhallow Savings Bank – Loans and deposits at 31 December
$ thousand
 | 2019 | 2018
Mortgage loans | 845,300 | 812,750
Consumer loans | 96,480 | 101,220
Business loans | 154,900 | 139,640
Gross loans | 1,096,680 | 1,053,610
Allowance for credit losses | (9,870) | (8,640)
Customer deposits | 1,204,500 | 1,150,330
Cost-to-income ratio | 61.4% | 63.9%
Non-performing loans ratio | 1.8% | 1.5%
"""

HIRES = """Average number of employees by function
Function | 2022 | 2021
Production | 1,240 | 1,185
Sales and service | 412 | 436
Research | 188 | 171
Administration | 96 | 95
Staff turnover was 8.3 percent after 11.7 percent in 2021. Of the 1,936 people, 704 work outside Austria.
"""

CASH = """Larkmoor Instruments – Cash flow and net debt (USD million)
 | FY2023 | FY2022
Cash generated from operations | 64.8 | 58.3
Interest paid | (3.9) | (2.7)
Income tax paid | (9.2) | (8.8)
Purchases of property, plant and equipment | (21.5) | (26.4)
Dividends paid | (14.0) | (12.5)
Borrowings | 120.3 | 131.9
Cash and cash equivalents | 45.6 | 29.4
Undrawn facilities | 60.0 | 60.0
"""

FUND = """Ostrander Timber Fund – Key data
 | 2020
Gross asset value | EUR 48.3 million
Liabilities | EUR 6.9 million
Management fee | EUR 0.62 million
Performance fee | EUR 0.18 million
Other costs | EUR 0.11 million
Units in issue | 352,000
Net income for distribution | EUR 1.76 million
Distribution | EUR 1.10 million
"""

PENSION = """Note 19 – Retirement benefits
The defined benefit obligation was CHF 88.1 million at the end of 2018 (2017: CHF 91.4 million), the fair value of plan \
assets CHF 79.6 million (2017: CHF 78.2 million). The discount rate was lifted to 1.05% (2017: 0.80%). Service cost of \
CHF 3.3 million and net interest of CHF 0.4 million were charged to the income statement. The plans have 1,420 members, \
of whom 515 draw a pension. The Group expects to pay contributions of CHF 4.0 million in 2019.
"""

ORDERS = """Halvard Crane Works: order book
Orders received came to NOK 2,310 million, compared with NOK 2,780 million in 2015; the budget had been NOK 2,600 million. \
Services grew by NOK 45 million to NOK 615 million. The order backlog fell 12% to NOK 3,950 million, of which NOK 1,480 \
million is due for delivery in 2017. The gross margin narrowed to 21.6% from 24.1%. Overheads were NOK 402 million, NOK 28 \
million below those of 2015.
"""

LEASES = """Maturity of lease payments (in thousands of dollars)
Due | Offices | Vehicles
Within one year | 4,120 | 1,310
One to two years | 3,980 | 940
Two to five years | 9,450 | 1,105
After five years | 6,200 | –
Total undiscounted | 23,750 | 3,355
Discount | (3,150) | (215)
Lease liabilities | 20,600 | 3,140
"""

GRID = """Regulated networks – allowed and actual spending, € million
 | Allowed | Actual
Maintenance | 61.2 | 66.8
Reinforcement | 142.0 | 118.5
Metering | 23.4 | 24.0
IT | 18.1 | 15.7
"""

BOARD = """Remuneration of the managing directors for 2021 (EUR thousand)
 | Salary | Bonus | Pension
Annika Threlfall | 620 | 415 | 93
Joost Veldkampen | 480 | 260 | 72
Meredith Osei | 455 | 198 | 68
"""

# Kind, text, question, answer.
ASKED: list[tuple[str, str, str, str | None]] = [
    ("change", FERRIES, "By how much did revenue go up in the year to March 2022?", "£3.3m"),
    ("change", FERRIES, "How much more did the crew cost in 2022 than in 2021?", "£0.8m"),
    ("change", MILL, "How much did net sales of Pulp grow by?", "EUR 17.3 million"),
    ("change", BANK, "Growth in customer deposits in 2019, in thousand dollars?", "$54,170 thousand"),
    ("change", HIRES, "How many people did Research add in 2022?", "17"),
    ("change", PENSION, "How much did the defined benefit obligation go down by in 2018?", "CHF 3.3 million"),
    ("change", MILL, "By how much did operating profit of Board worsen in 2021?", "EUR 6.1 million"),
    ("percentage change", FERRIES, "By what percentage did crew costs rise?", "6.72%"),
    ("percentage change", MILL, "What was the growth rate of Tissue net sales in 2021, in percent?", "4.80%"),
    ("percentage change", BANK, "How much did business loans grow in percentage terms?", "10.93%"),
    ("percentage change", CASH, "How much did cash and cash equivalents rise in FY2023, in %?", "55.1%"),
    ("percentage change", ORDERS, "By what percentage did orders received fall?", "16.91%"),
    ("points", FERRIES, "By how many percentage points did fuel's take of revenue increase?", "4.5 percentage points"),
    ("points", FERRIES, "How far did on-time departures slip, in percentage points?", "2.8 percentage points"),
    ("points", BANK, "How many points did the cost-to-income ratio improve by?", "2.5 percentage points"),
    ("points", HIRES, "How much lower was staff turnover than in 2021?", "3.4 percentage points"),
    ("points", PENSION, "By how much was the discount rate lifted?", "0.25 percentage points"),
    ("points", ORDERS, "By how many percentage points did the gross margin shrink?", "2.5 percentage points"),
    ("difference", MILL, "How much higher were net sales of Tissue than of Board in 2021?", "EUR 110.7 million"),
    ("difference", BANK, "What were gross loans less the allowance for credit losses in 2019?", "$1,086,810 thousand"),
    ("difference", CASH, "What was FY2023 borrowings minus cash?", "USD 74.7 million"),
    ("difference", CASH, "Cash generated from operations less interest and tax paid, FY2023?", "USD 51.7 million"),
    (
        "difference",
        PENSION,
        "How much did the plan assets fall short of the obligation at the end of 2018?",
        "CHF 8.5 million",
    ),
    ("difference", ORDERS, "By how much did orders received miss the budget?", "NOK 290 million"),
    ("difference", GRID, "By how much did actual maintenance spending exceed what was allowed?", "€5.6 million"),
    ("difference", GRID, "How far below its allowance was reinforcement spending?", "€23.5 million"),
    ("difference", BOARD, "How much bigger was Annika Threlfall's bonus than Joost Veldkampen's?", "EUR 155 thousand"),
    (
        "difference",
        LEASES,
        "How much more in lease liabilities is there for offices than for vehicles?",
        "$17,460 thousand",
    ),
    ("sum", MILL, "What did Board and Pulp sell together in 2021?", "EUR 289.9 million"),
    ("sum", HIRES, "How many people worked in research and administration in 2022?", "284"),
    ("sum", BOARD, "What did the bonuses of the managing directors add up to?", "EUR 873 thousand"),
    ("sum", BOARD, "What was the total of salary, bonus and pension for Meredith Osei?", "EUR 721 thousand"),
    ("sum", FUND, "What did the management fee and the performance fee come to in all?", "EUR 0.8 million"),
    ("sum", LEASES, "How much is due within two years on offices?", "$8,100 thousand"),
    ("sum", PENSION, "What was charged to the income statement for pensions in total in 2018?", "CHF 3.7 million"),
    ("share", MILL, "What share of total net sales came from Tissue in 2020?", "51.02%"),
    ("share", BANK, "How much of gross loans were mortgages at the end of 2019, as a percentage?", "77.08%"),
    ("share", HIRES, "What portion of the people works outside Austria?", "36.36%"),
    ("share", ORDERS, "What share of the backlog is due for delivery in 2017?", "37.47%"),
    ("share", FERRIES, "What percentage of capital expenditure went on the berth at Saltholme?", "68.92%"),
    ("share", FUND, "What proportion of net income was distributed, in percent?", "62.5%"),
    ("margin", MILL, "What was Board's operating margin in 2021?", "5.9%"),
    ("coverage", CASH, "How many times did cash generated from operations cover interest paid in FY2022?", "21.59"),
    ("remainder", FERRIES, "How much of the facility was still undrawn at the year end?", "£11.5m"),
    ("remainder", FUND, "What was left of net income for distribution after the distribution?", "EUR 0.66 million"),
    # Said outright.
    ("none", MILL, "What was Tissue's operating margin in 2021?", None),
    ("none", MILL, "What did net sales add up to in total in 2020?", None),
    ("none", ORDERS, "By how much did services grow?", None),
    ("none", ORDERS, "By what percentage did the order backlog fall?", None),
    ("none", ORDERS, "How far below 2015 were overheads?", None),
    ("none", FERRIES, "What share of revenue did fuel take?", None),
    ("none", CASH, "How much of the facilities was left undrawn in FY2023?", None),
    ("none", LEASES, "What do lease payments on vehicles total before discounting?", None),
    # Not to be had: a part, a year or a basis is missing.
    ("none", FERRIES, "By how much did the fleet grow in 2022?", None),
    ("none", MILL, "How much did net sales of Pulp grow in 2020?", None),
    ("none", PENSION, "By how much did service cost rise in 2018?", None),
    ("none", HIRES, "What share of the people in Research works outside Austria?", None),
    ("none", BANK, "How much higher were customer deposits in 2019 than in 2017?", None),
    ("none", FUND, "What was the net asset value less the performance fee in 2019?", None),
    ("none", BOARD, "How much more salary did Annika Threlfall get than in the year before?", None),
]
