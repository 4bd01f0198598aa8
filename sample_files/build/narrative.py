"""The words of the invented company's annual report: pages of (heading, paragraphs), with figures from the statements."""

from __future__ import annotations

from sample_files.build.company import COMPANY, NAME, figure

__all__ = ["AFTER_NOTES", "FRONT", "NOTES"]

_Y = COMPANY.years[2023]
_P = COMPANY.years[2022]
_GROWTH = 100 * (_Y.revenue / _P.revenue - 1)


def _million(thousands: int) -> str:
    return f"EUR {thousands / 1_000:.1f} million"


Page = list[tuple[str, list[str]]]

FRONT: list[Page] = [
    [
        (
            "Letter to shareholders",
            [
                f"Revenue rose by {_GROWTH:.1f} percent to {_million(_Y.revenue)} in 2023, after {_million(_P.revenue)} in "
                "2022. Demand for pressure sensors in process plants held up well, while hospitals in southern Europe "
                "postponed purchases in the second half of the year.",
                f"Operating profit reached {_million(_Y.operating_profit)}, or {100 * _Y.operating_profit / _Y.revenue:.1f} "
                "percent of revenue. Lower prices for wafers helped the gross margin; higher spending on research held "
                "back the rest. We chose to spend it: two of the three product families that we sell today did not "
                "exist five years ago.",
                f"The board proposes a dividend of EUR 0.85 per share for 2023, to be paid on 16 May 2024. The dividend "
                f"paid during 2023 amounted to {_million(_Y.inputs.dividends)}, equal to EUR 0.70 per share.",
                "In September we repaid EUR 10.0 million of our revolving credit facility from our own cash. We do not "
                "plan to buy back shares while acquisitions of the size that we study remain possible.",
                "My thanks go to our 1,905 colleagues. Elke Vandermeer, chief executive officer.",
            ],
        )
    ],
    [
        (
            "Strategy",
            [
                "Halden Instruments builds sensors and monitoring systems that keep working where replacing them is "
                "expensive. Our strategy to 2026 rests on three priorities.",
                "First, grow services to 18 percent of revenue by 2026. Service contracts renew at a rate of 93 percent "
                "and tie up little capital.",
                "Second, bring the Ghent wafer line to full use. It ran at 71 percent of capacity in 2023, against 64 "
                "percent in 2022. Each further ten points are worth about EUR 3 million of gross profit a year.",
                "Third, keep research and development between 8 and 9 percent of revenue, and start no programme that "
                "has no customer paying a part of it.",
            ],
        ),
        (
            "Financial targets",
            [
                "We aim for average revenue growth of 6 percent a year, an operating margin above 17 percent, and a ratio "
                "of net debt to EBITDA of no more than 2.0. The payout ratio shall lie between 35 and 45 percent of profit.",
            ],
        ),
    ],
    [
        (
            "Segment review: Industrial Sensors",
            [
                f"Industrial Sensors sold {_million(_Y.inputs.industrial)}, {_million(_P.inputs.industrial)} in the year "
                "before. Orders from chemical plants grew fastest; orders from car makers fell by a tenth.",
                "The HX-4 pressure transmitter, launched in April 2023, brought EUR 11.3 million in its first nine months. "
                "It needs no recalibration for five years, which saves operators a plant stop.",
                "The segment employs 980 people in Ghent and Brno. The order book stood at EUR 64.8 million at year end, "
                "enough for about three months of production.",
            ],
        ),
        (
            "Prices and costs",
            [
                "List prices were raised by 2.5 percent in January. Copper and wafer prices fell through the year, and a "
                "new energy contract fixes the price of 80 percent of the electricity used until the end of 2025.",
            ],
        ),
    ],
    [
        (
            "Segment review: Medical Systems",
            [
                f"Medical Systems sold {_million(_Y.inputs.medical)}, after {_million(_P.inputs.medical)}. Bedside monitors "
                "made up three quarters of it.",
                "The Vita-2 monitor received its certificate under the European medical device regulation in March 2023. "
                "Approval in the United States is expected in the second half of 2024; no revenue is planned for it.",
                "A field correction of 1,140 monitors with a faulty battery connector cost EUR 1.9 million, booked in cost "
                "of sales. No patient was harmed. All units were repaired by November 2023.",
            ],
        )
    ],
    [
        (
            "Segment review: Services",
            [
                f"Services brought {_million(_Y.inputs.services)}, after {_million(_P.inputs.services)}. Contracts cover "
                "calibration, spare parts and remote monitoring; 4,310 sites were under contract at year end.",
                "The average contract runs for 3.4 years. Remote monitoring, sold since 2021, is part of 38 percent of the "
                "contracts, up from 29 percent.",
            ],
        ),
        (
            "Outlook for 2024",
            [
                "We expect revenue between EUR 425 million and EUR 440 million in 2024 and an operating margin of about 17 "
                "percent. Capital expenditure is planned at EUR 27 million, most of it for the second wafer line in Ghent.",
            ],
        ),
    ],
    [
        (
            "Risk factors: market and operations",
            [
                "Dependence on one wafer supplier. A single supplier in Dresden delivers 62 percent of our wafers. A stop of "
                "more than eight weeks would halt the Ghent line. We hold ten weeks of stock and qualified a second "
                "supplier in 2023.",
                "Concentration of customers. The ten largest customers make up 31 percent of revenue; no customer exceeds 6 "
                "percent.",
                "Product liability. Faulty monitors can harm patients. Insurance covers EUR 40 million per event with a "
                "deductible of EUR 0.5 million.",
                "Information security. An intrusion in February 2022 stopped the Brno plant for two days. Since then, "
                "production networks are separated from the office network.",
            ],
        )
    ],
    [
        (
            "Risk factors: finance",
            [
                "Currency. 36 percent of revenue is invoiced in US dollars and 9 percent in Czech koruna. We hedge 75 "
                "percent of the expected dollar inflows of the next twelve months with forward contracts. A dollar weaker "
                "by ten percent would lower operating profit by EUR 4.1 million after hedges.",
                "Interest. Only the revolving credit facility carries a variable rate. A rise of one percentage point would "
                "cost EUR 0.1 million a year at the drawn amount.",
                "Liquidity. Beside its cash the group has EUR 40 million undrawn under the revolving credit facility.",
                "Covenants. Net debt must not exceed 3.0 times EBITDA, and interest must be covered at least 4.0 times by "
                "operating profit. Both were met at all times in 2023.",
            ],
        )
    ],
    [
        (
            "Corporate governance",
            [
                "The board has seven members, five of them independent and three of them women. It met nine times in 2023; "
                "attendance was 97 percent.",
                "The audit committee is chaired by Johan Lindqvist. It met five times and discussed the revenue recognition "
                "of long service contracts with the auditor.",
                "The company follows the Dutch corporate governance code with one exception: the chair of the board, Ruth "
                "Okafor, also chairs the remuneration committee.",
            ],
        ),
        (
            "Auditor",
            [
                "Meridian Audit B.V. has audited the accounts since 2019. Its fees were EUR 0.62 million for the audit and "
                "EUR 0.04 million for other services.",
            ],
        ),
    ],
    [
        (
            "Remuneration report",
            [
                "The chief executive received a base salary of EUR 540 thousand, a bonus of EUR 310 thousand and share "
                "options with a fair value of EUR 260 thousand. The chief financial officer, Tomas Prochazka, received EUR "
                "390 thousand, EUR 205 thousand and EUR 170 thousand.",
                "The bonus depends to 60 percent on operating profit, to 25 percent on cash conversion and to 15 percent on "
                "safety. In 2023 there were 2.1 lost-time accidents per million hours worked, against 2.8 in 2022.",
                "Members of the board receive EUR 55 thousand each, the chair EUR 110 thousand.",
            ],
        )
    ],
]

NOTES: dict[str, list[str]] = {
    "basis": [
        f"The accounts of {NAME}, Rotterdam, are prepared under IFRS as adopted by the European Union. All amounts are in "
        "thousands of euros unless stated otherwise. Figures in brackets are negative.",
        "Revenue from goods is recognised when control passes, in general at delivery. Revenue from services is recognised "
        "over the contract, in equal parts unless another pattern fits the work better.",
        "Buildings are depreciated over 30 years, machinery over 8 to 12 years, capitalised development over 5 years. "
        "Goodwill is not amortised; it is tested for impairment each year in the fourth quarter.",
        "Inventories are carried at the lower of cost and net realisable value; cost is the weighted average.",
        "Leases of up to twelve months and of low value are expensed. For all others a right-of-use asset and a liability "
        "are recognised at the present value of the payments, discounted at 3.3 percent on average.",
    ],
    "segments": [
        "The group reports three segments, which are managed separately because they serve different customers. No single "
        "customer makes up ten percent of revenue or more. 41 percent of revenue comes from Germany, Belgium and the "
        "Netherlands, 36 percent from North America and 23 percent from the rest of the world.",
    ],
    "goodwill": [
        "Goodwill of 48,200 belongs to Medical Systems. The impairment test uses a pre-tax discount rate of 9.8 percent and "
        "growth of 1.5 percent after five years. The value in use exceeds the carrying amount by 22,600.",
    ],
    "equipment": ["Machinery with a carrying amount of 12,900 is pledged as security for the bank term loan."],
    "leases": [
        "The group leases offices, the warehouse in Venlo and vehicles. The longest lease runs until August 2031."
    ],
    "borrowings": [
        "The bank term loan of 50,000 is secured by the plant in Ghent. The facility of 50,000 of the revolving credit is "
        "committed until October 2026; 10,000 of it was drawn at year end.",
    ],
    "tax": ["There are no unused tax losses. Deferred taxes are not material and are included in payables."],
    "share_based": [
        "Options on 140 thousand shares were granted in 2023 at an exercise price of EUR 31.40. They vest after three years "
        "and lapse after seven. The expense was "
        f"{figure(_Y.inputs.share_based_pay)} (2022: {figure(_P.inputs.share_based_pay)}).",
    ],
    "commitments": [
        "A former distributor in Italy claims 2,400 in compensation. The group considers the claim unfounded and has "
        "recognised no provision; a first hearing is set for September 2024.",
    ],
}

AFTER_NOTES: Page = [
    (
        "Note 12. Events after the reporting period",
        [
            "On 19 February 2024 the group signed an agreement to buy 100 percent of Kestrel Telemetry Ltd., Leeds, for EUR "
            "23.5 million in cash. Kestrel makes wireless modules and had revenue of EUR 14 million in 2023. The purchase "
            "is expected to close in the second quarter of 2024.",
            "No other events need adjustment or disclosure.",
        ],
    ),
    (
        "Glossary",
        [
            "EBITDA: operating profit before depreciation and amortisation.",
            "Net cash: cash and cash equivalents less borrowings; lease liabilities are not deducted.",
            "Payout ratio: dividends per share divided by basic earnings per share.",
        ],
    ),
    (
        "Notice",
        [
            f"{NAME} does not exist. Its people, products and figures are invented for the demonstration of software. Any "
            "likeness to a real company is chance.",
        ],
    ),
]
