"""Tables of invented companies in the layouts that reports use, and questions with the figures that they ask for."""

from __future__ import annotations

# Years in columns, a unit in the corner, sections, a subtotal without a name, a row that comes twice.
INCOME = """Harrowgate Foods plc. Consolidated results.

(£ in millions) | 2022 | 2021 | 2020
Revenue | 1,240.5 | 1,180.0 | 1,015.2
Cost of sales | (801.3) | (772.6) | (690.4)
Gross profit | 439.2 | 407.4 | 324.8
Operating expenses: |  |  |
Distribution | (96.1) | (88.4) | (80.2)
Administration | (120.7) | (118.9) | (111.0)
 | (216.8) | (207.3) | (191.2)
Operating profit | 222.4 | 200.1 | 133.6
Operating margin | 17.9% | 17.0% | 13.2%
Basic earnings per share (pence) | 41.2 | 36.8 | 24.9
"""

# Two lines of heads, a spanning one first, a change column that is nobody's operand.
SEGMENTS = """The table shows net sales by segment (in thousands):

 |  | Year ended June 30, |  |
Segment | 2023 | 2022 | $ Change | % Change
Garden tools | $48,210 | $45,035 | $3,175 | 7.1%
Power equipment | 91,440 | 97,120 | (5,680) | (5.8)%
Spare parts | 12,006 | 9,874 | 2,132 | 21.6%
Total net sales | $151,656 | $152,029 | $(373) | (0.2)%
"""

# Dated rows, movements between them, shares beside prices.
AWARDS = """Activity under the incentive plan was as follows:

 | Number of awards | Weighted-average fair value
Outstanding at December 31, 2020 | 410,000 | $12.10
Granted | 120,500 | $14.75
Vested | (98,200) | $11.90
Forfeited | (7,300) | $12.40
Outstanding at December 31, 2021 | 425,000 | $12.88
Granted | 131,000 | $16.02
Vested | (104,000) | $12.05
Forfeited | (12,000) | $13.10
Outstanding at December 31, 2022 | 440,000 | $13.96
"""

# An obligation in brackets beside the assets that are held for it.
PENSIONS = """Movement in the net liability | Obligation £m | Assets £m | Net £m
At 1 January 2021 | (412.6) | 371.9 | (40.7)
Benefits paid | 16.9 | (16.9) | –
At 31 December 2021 | (383.2) | 380.9 | (2.3)
"""

# Periods under each other, sections of one kind, the same rows in both.
FACILITIES = """Loans by currency

 | Fixed rate EUR million | Floating rate EUR million
At 31 December 2022 |  |
Bank loans | 310 | 145
Bonds | 500 | –
At 31 December 2021 |  |
Bank loans | 280 | 190
Bonds | 400 | 50
"""

# Years down the rows, as a sheet has them.
YEARLY = """Year | Deposits (USD thousand) | Branches | Cost ratio
2019 | 8,400 | 31 | 58.0%
2020 | 9,150 | 30 | 57.1%
2021 | 10,020 | 28 | 55.5%
2022 | 9,870 | 27 | 56.4%
"""

# Months of two lengths under one year: only words tell them apart.
INTERIM = """Interim results, in millions of euros

 | Three months ended September 30, |  | Nine months ended September 30, |
 | 2023 | 2022 | 2023 | 2022
Revenue | 210 | 200 | 640 | 590
Net income | 21 | 16 | 55 | 50
"""

QUARTERS = """Quarterly figures (in thousands of dollars)

 | First | Second | Third | Fourth
2022 |  |  |  |
Net sales | 5,100 | 5,420 | 4,980 | 6,300
2021 |  |  |  |
Net sales | 4,700 | 5,010 | 4,655 | 5,900
"""

MARKDOWN = """## Balance sheet (USD thousand)

| Item | FY23 | FY22 |
| --- | ---: | ---: |
| Current assets | 5,640 | 5,010 |
| Non-current assets | 9,300 | 9,450 |
| Total assets | 14,940 | 14,460 |
| Current liabilities | 2,820 | 2,700 |
| Provisions | 310 | 290 |
| Provisions | 120 | 150 |
| Net result | (40) | 85 |
"""

SHARES = """Selected data (in thousands, except share and per share data)

 | December 31, 2022 | December 31, 2021
Total equity | $ 9,410 | $ 8,002
Ordinary shares in issue | 1,204,000 | 1,180,500
Dividends per share | $ 0.55 | $ 0.50
"""

PROSE = """Revenue of the Brackley division was $4.1 million in 2018, $4.6 million in 2019 and $5.2 million in 2020.
Interest expense was $310 thousand and $275 thousand for 2020 and 2019, respectively, and related fees were $12 thousand
and $15 thousand, respectively. In 2020, we employed 410 engineers compared to 380 in 2019. The effective tax rate fell
from 24.5% in 2019 to 22.0% in 2020. We opened 3 depots, and 40 people joined in 2020 after 12 in the years before.
"""

# Table, question, and the answer: None where nothing may be computed.
QUESTIONS: list[tuple[str, str, str | None]] = [
    (INCOME, "What was the percentage change in revenue from 2021 to 2022?", "5.13%"),
    (INCOME, "By what percentage did gross profit grow between 2020 and 2021?", "25.43%"),
    (INCOME, "What was the revenue growth in 2022?", "5.13%"),
    (INCOME, "What is the change in operating profit between 2021 and 2022?", "£22.3 million"),
    (INCOME, "By how much did revenue increase in 2022?", "£60.5 million"),
    (INCOME, "What was the increase in distribution expenses from 2021 to 2022?", "£7.7 million"),
    (INCOME, "What is the average revenue for 2020, 2021 and 2022?", "£1,145.23 million"),
    (INCOME, "What is the average gross profit from 2020 to 2022?", "£390.47 million"),
    (INCOME, "What was the average cost of sales in 2021 and 2022?", "£786.95 million"),
    (INCOME, "What is the sum of revenue in 2021 and 2022?", "£2,420.5 million"),
    (INCOME, "What is gross profit as a percentage of revenue in 2022?", "35.41%"),
    (INCOME, "What percentage of revenue was operating profit in 2021?", "16.96%"),
    (INCOME, "What is the ratio of distribution to administration in 2022?", "0.8"),
    (INCOME, "What is the difference between gross profit and operating profit in 2020?", "£191.2 million"),
    (INCOME, "How much higher was gross profit than operating profit in 2022?", "£216.8 million"),
    (
        INCOME,
        "By how many percentage points did the operating margin change from 2020 to 2022?",
        "4.7 percentage points",
    ),
    (INCOME, "What was the change in the operating margin from 2021 to 2022?", "0.9 percentage points"),
    (INCOME, "What is the average basic earnings per share over 2021 and 2022?", "39.0 pence"),
    (INCOME, "In which year was revenue the highest?", "2022"),
    (INCOME, "Which year had the lowest gross profit?", "2020"),
    (INCOME, "What was the compound annual growth rate of revenue from 2020 to 2022?", "10.54%"),
    (INCOME, "How many years did revenue exceed £1,100 million?", "2"),
    (INCOME, "How many quarters did revenue exceed £1,100 million?", None),
    (INCOME, "Which quarter had the highest revenue?", None),
    (INCOME, "In how many years was revenue above 1.1 billion?", "2"),
    (INCOME, "What is the total of distribution and administration in 2022?", "£216.8 million"),
    (INCOME, "What was revenue in 2022?", None),
    (INCOME, "What was the operating margin in 2021?", None),
    (INCOME, "Why did revenue increase in 2022?", None),
    (INCOME, "What was the percentage change in revenue from 2018 to 2019?", None),
    (INCOME, "What was the change in marketing spend from 2021 to 2022?", None),
    (INCOME, "What is the percentage change in headcount between 2021 and 2022?", None),
    (INCOME, "What were the revenues in 2021 and 2022, respectively?", None),
    # Without a period the last year is meant, unless more than one is spoken of.
    (INCOME, "What is the change in revenue?", "£60.5 million"),
    (INCOME, "What was revenue growth?", "5.13%"),
    (INCOME, "revenue growth 2021", "16.23%"),
    (INCOME, "What is the change in revenue over the years?", None),
    (INCOME, "What is the average revenue growth?", None),
    (SEGMENTS, "What is the percentage change in garden tools net sales from 2022 to 2023?", "7.05%"),
    (SEGMENTS, "What was the decrease in power equipment net sales in 2023?", "5,680 thousand"),
    (SEGMENTS, "What was the change in power equipment net sales in 2023?", "-5,680 thousand"),
    (SEGMENTS, "What share of total net sales came from spare parts in 2023?", "7.92%"),
    (SEGMENTS, "What is the sum of garden tools and spare parts net sales in 2022?", "$54,909 thousand"),
    (SEGMENTS, "What percentage of total net sales were garden tools and spare parts in 2023?", "39.71%"),
    (SEGMENTS, "What is the proportion of garden tools over total net sales in 2022?", "0.3"),
    (SEGMENTS, "In which year were total net sales larger?", "2022"),
    (SEGMENTS, "What is the average total net sales for 2022 and 2023?", "$151,842.5 thousand"),
    (SEGMENTS, "What were total net sales in 2023?", None),
    (SEGMENTS, "What led to the decrease in power equipment net sales?", None),
    (AWARDS, "What is the change in the number of awards outstanding from 2021 to 2022?", "15,000"),
    (AWARDS, "What percentage of awards outstanding at December 31, 2022 were granted in 2022?", "29.77%"),
    (PENSIONS, "Assets as a percentage of the obligation at 31 December 2021", "99.4%"),
    (AWARDS, "What is the difference between the number of awards granted in 2021 and 2022?", "10,500"),
    (AWARDS, "What is the average number of awards vested in 2021 and 2022?", "101,100"),
    (AWARDS, "What was the increase in the weighted-average fair value of awards granted from 2021 to 2022?", "$1.27"),
    (FACILITIES, "What was the change in fixed rate bank loans from 2021 to 2022?", "EUR 30 million"),
    (FACILITIES, "What is the sum of fixed rate bank loans and bonds at 31 December 2022?", "EUR 810 million"),
    (FACILITIES, "What was the percentage change in floating rate bank loans from 2021 to 2022?", "-23.68%"),
    (FACILITIES, "What was the change in bank loans from 2021 to 2022?", None),
    (YEARLY, "What was the percentage change in deposits from 2020 to 2021?", "9.51%"),
    (YEARLY, "In which year were deposits the highest?", "2021"),
    (YEARLY, "What is the average number of branches from 2019 to 2022?", "29"),
    (YEARLY, "By how many percentage points did the cost ratio fall from 2019 to 2021?", "2.5 percentage points"),
    (YEARLY, "How many years did deposits exceed USD 9 million?", "3"),
    (YEARLY, "What is the difference in branches between 2019 and 2022?", "4"),
    (YEARLY, "What was the percentage change in the cost ratio from 2019 to 2021?", None),
    (
        INTERIM,
        "What was the percentage change in revenue for the three months ended September 30, 2023 compared to 2022?",
        "5%",
    ),
    (INTERIM, "What was the increase in net income for the nine months ended September 30, 2023?", "EUR 5 million"),
    (INTERIM, "What was the percentage change in revenue from 2022 to 2023?", None),
    (QUARTERS, "What was the percentage change in net sales from Q3 2022 to Q4 2022?", "26.51%"),
    (QUARTERS, "What is the sum of net sales over the quarters of 2022?", "$21,800 thousand"),
    (QUARTERS, "How many quarters in 2022 did net sales exceed $5,000 thousand?", "3"),
    (QUARTERS, "Which quarter of 2021 had the lowest net sales?", "Q3 2021"),
    (QUARTERS, "How many quarters did net sales exceed $5,000 thousand?", None),
    (SHARES, "What was the change in ordinary shares in issue from 2021 to 2022?", "23,500"),
    (SHARES, "What was the increase in dividends per share in 2022?", "$0.05"),
    (SHARES, "What was the increase in total equity in 2022?", "$1,408 thousand"),
    (PROSE, "What was the percentage change in revenue of the Brackley division from 2018 to 2020?", "26.83%"),
    (PROSE, "What is the average revenue of the Brackley division from 2018 to 2020?", "$4.63 million"),
    (PROSE, "What was the change in interest expense from 2019 to 2020?", "$35 thousand"),
    (
        PROSE,
        "By how many percentage points did the effective tax rate fall from 2019 to 2020?",
        "2.5 percentage points",
    ),
    (PROSE, "How many more engineers were employed in 2020 than in 2019?", "30"),
    (PROSE, "What was the change in depots from 2019 to 2020?", None),
    (MARKDOWN, "What is the ratio of current assets to current liabilities in FY23?", "2"),
    (MARKDOWN, "What is the percentage change in non-current assets from FY22 to FY23?", "-1.59%"),
    (MARKDOWN, "What is the change in current assets from FY22 to FY23?", "USD 630 thousand"),
    (MARKDOWN, "What was the change in provisions from FY22 to FY23?", None),
    (MARKDOWN, "What percentage of total assets are current assets in FY22?", "34.65%"),
    (MARKDOWN, "What is the change in the net result from FY22 to FY23?", "USD -125 thousand"),
]
