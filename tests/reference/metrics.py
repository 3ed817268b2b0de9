"""Expected values of tests/metrics_golden.rs on a second fixture.

pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 pandas==3.1.1
python tests/reference/metrics.py

Prints one line per value; the figures in the test are pasted from it. Where no library has the metric, the definition
is written out here on NumPy in another way than in Rust.
"""

import numpy as np
import pandas as pd
import scipy.stats
import sklearn.metrics

STATE = 20260822


def draw(parts):
    """Next number of Knuth's MMIX generator, an integer below `parts`."""
    global STATE
    STATE = (STATE * 6364136223846793005 + 1442695040888963407) % 2**64
    return (STATE >> 33) * parts >> 31


rows = []
for _ in range(523):  # a prime, so that nothing divides evenly
    p = draw(98) + 1
    y = draw(100) < 15 + p // 2
    spends, cents, noise = draw(2), draw(20000), draw(8000)
    v = cents if spends else 0
    v_hat = (v * 4 + noise * 5) // 100  # tenths, so that many are equal
    rows.append((y, p / 100, v / 100, v_hat / 10))
y, p, v, v_hat = (np.array(column) for column in zip(*rows))
y = y.astype(int)
n = len(y)
print(f"fixture: {y.sum()=} {p.sum()=} {v.sum()=} {v_hat.sum()=}")


def show(name, value):
    print(f"{name:28} {float(value)!r}")


show("roc_auc", sklearn.metrics.roc_auc_score(y, p))
show("average_precision", sklearn.metrics.average_precision_score(y, p))
show("brier", sklearn.metrics.brier_score_loss(y, p))
show("log_loss", sklearn.metrics.log_loss(y, p))
show("ks", scipy.stats.ks_2samp(p[y == 1], p[y == 0]).statistic)
show("calibration_ratio", y.sum() / p.sum())
show("spiegelhalter_z", ((y - p) * (1 - 2 * p)).sum() / np.sqrt(((1 - 2 * p) ** 2 * p * (1 - p)).sum()))
for bins in (10, 15):
    edges = np.linspace(0, 1, bins + 1)
    frame = pd.DataFrame({"bin": np.searchsorted(edges, p, side="right") - 1, "y": y, "p": p}).groupby("bin")
    gap, share = (frame["y"].mean() - frame["p"].mean()).abs(), frame.size() / n
    show(f"ece_{bins}", (gap * share).sum())
    show(f"mce_{bins}", gap.max())
    show(f"rmsce_{bins}", np.sqrt((gap**2 * share).sum()))
    frame = pd.DataFrame({"bin": np.searchsorted(edges[1:-1], p), "y": y, "p": p}).groupby("bin")
    show(f"ece_right_closed_{bins}", ((frame["y"].mean() - frame["p"].mean()).abs() * frame.size() / n).sum())

by_p = np.argsort(-p, kind="stable")
for share in (0.1, 0.2, 0.3, 0.5):
    k = int(n * share)
    show(f"gain_at_{share}", y[by_p][:k].sum() / y.sum())
    show(f"lift_at_{share}", y[by_p][:k].mean() / y.mean())

table = pd.DataFrame({"y": y[by_p], "p": p[by_p], "decile": np.linspace(1, 11, n, False, dtype=int)})
table = table.groupby("decile").agg(rows=("y", "size"), positives=("y", "sum"), mean=("p", "mean")).reset_index()
table["cumulative"] = 100 * table.positives.cumsum() / y.sum()
table["ks"] = table.cumulative - 100 * (table.rows - table.positives).cumsum() / (n - y.sum())
table["lift"] = table.cumulative / (100 * table.rows.cumsum() / n)
for row in table.itertuples(index=False):
    print("decile", tuple(float(x) if isinstance(x, float) else int(x) for x in row))

show("spearman", scipy.stats.spearmanr(v, v_hat).statistic)
show("mae", sklearn.metrics.mean_absolute_error(v, v_hat))
show("rmse", sklearn.metrics.root_mean_squared_error(v, v_hat))
show("mae_normalized", sklearn.metrics.mean_absolute_error(v, v_hat) / v.mean())
show("rmse_normalized", sklearn.metrics.root_mean_squared_error(v, v_hat) / v.mean())
show("value_ratio", v_hat.sum() / v.sum())


def gini(actual, predicted):
    """Kaggle's function: the area between the cumulative share and the diagonal."""
    order = np.lexsort((np.arange(n), -predicted))
    cumulative = np.cumsum(actual[order]) / actual.sum()
    return (cumulative.sum() - (n + 1) / 2.0) / n


show("gini_normalized", gini(v, v_hat) / gini(v, v))
by_value = np.argsort(-v_hat, kind="stable")
for share in (0.1, 0.2):
    show(f"top_share_{share}", v[by_value][: int(n * share)].sum() / v.sum())

groups = pd.DataFrame({"v": v, "v_hat": v_hat, "decile": pd.qcut(v_hat, 10, labels=False)}).groupby("decile")
for decile, group in groups:
    error = abs(group.v_hat.mean() - group.v.mean()) / group.v.mean()
    print("qcut", (len(group), float(group.v.mean()), float(group.v_hat.mean()), float(error)))

percentile = np.maximum(1, -(-100 * scipy.stats.rankdata(p, method="max").astype(int) // n))
permille = np.maximum(1, -(-1000 * scipy.stats.rankdata(p, method="max").astype(int) // n))
print("percentile", percentile[:12].tolist(), percentile.sum(), "permille", permille[:12].tolist(), permille.sum())

# Percentile bootstrap by drawing customers and copying their rows; row i belongs to customer i mod 400.
random = np.random.default_rng(1)
values = []
rows_of = [np.flatnonzero(np.arange(n) % 400 == customer) for customer in range(400)]
for _ in range(20_000):
    drawn = np.concatenate([rows_of[customer] for customer in random.integers(0, 400, 400)])
    a, b, c, d = y[drawn], p[drawn], v[drawn], v_hat[drawn]
    values.append((
        sklearn.metrics.roc_auc_score(a, b),
        sklearn.metrics.brier_score_loss(a, b),
        a.sum() / b.sum(),
        scipy.stats.spearmanr(c, d).statistic,
        d.sum() / c.sum(),
    ))
names = ("roc_auc", "brier", "calibration_ratio", "spearman", "value_ratio")
for name, column in zip(names, np.array(values).T):
    low, high = np.quantile(column, [0.025, 0.975])
    print("bootstrap", name, round(low, 5), round(high, 5), "standard deviation", round(column.std(), 5))
