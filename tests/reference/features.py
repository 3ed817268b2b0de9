"""Features of one small history, by Python's standard library with 50 digits.

Run with Python 3.12 or newer; prints the values that tests/sweep/cases.rs expects of `a_small_history_by_hand`:
orders on days 0, 2 and 5, order lines at these times of day, asked at the start of day 7.
"""

import statistics
from decimal import Decimal, getcontext
from fractions import Fraction

getcontext().prec = 50
HOUR = Fraction(1, 24)
lines = [9 * HOUR, 10 * HOUR, 11 * HOUR, 2 + 6 * HOUR, 5 + 18 * HOUR]
order_days, first_possible, as_of = [0, 2, 5], 0, 7

# Zhang, Bradlow & Small (2015): N days, numbered from 1; H = 1 + sum(x ln x) / ln(n + 1), x the intervals ÷ (N + 1).
numbered = [day - first_possible + 1 for day in order_days]
ends = [0, *numbered, as_of - first_possible + 1]
shares = [Decimal(b - a) / Decimal(ends[-1]) for a, b in zip(ends, ends[1:])]
print("order_clumpiness", 1 + sum(x * x.ln() for x in shares) / Decimal(len(shares)).ln())

gaps = [b - a for a, b in zip(order_days, order_days[1:])]
# Shinomoto, Shima & Tanji (2003), Neural Computation 15(12), 2823-2842: LV = 3 / (n - 1) sum(((I_i - I_i+1) / (I_i + I_i+1))^2).
terms = [Fraction(a - b, a + b) ** 2 for a, b in zip(gaps, gaps[1:])]
print("gap_local_variation", float(3 * sum(terms) / (len(gaps) - 1)))
print("gap_slope", statistics.linear_regression(range(len(gaps)), gaps).slope)

times = [b - a for a, b in zip(lines, lines[1:])]
mean, spread = statistics.fmean(times), statistics.pstdev(map(float, times))
print("average_gap_days", mean)
print("gap_spread_days", spread)
print("gap_spread_ratio", spread / mean)

# Events: these lines and a refund on day 1; weight 2^(-age / half-life).
ages = [as_of - day for day in (0, 0, 0, 1, 2, 5)]
order_ages = [as_of - day for day in (0, 0, 2, 5)]
for half_life in (7, 30, 90):
    fade = lambda ages: sum(Decimal(2) ** (-Decimal(age) / half_life) for age in ages)
    print(f"events_decayed_{half_life}d", fade(ages), f"purchases_decayed_{half_life}d", fade(order_ages))

# Weeks before day 7, newest first: all events in the last one.
print("events_slope_28d", statistics.linear_regression(range(4), [0, 0, 0, 6]).slope)
