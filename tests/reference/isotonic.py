"""Isotonic regression on data from a linear congruential generator.

Run with scikit-learn 1.9.1 and numpy 2.4.6; prints src/models/calibrate/reference_values.in:
for each step its value by scikit-learn's IsotonicRegression, the weighted mean of its
scores and the sum of its weights by numpy.
"""

import numpy as np
import sklearn
from sklearn.isotonic import IsotonicRegression


class Lcg:
    """Knuth's MMIX generator, upper 53 bits as a number in [0, 1)."""

    def __init__(self, state):
        self.state = state

    def uniform(self):
        self.state = (self.state * 6364136223846793005 + 1442695040888963407) % 2**64
        return (self.state >> 11) / 2.0**53


def data(rows):
    lcg = Lcg(3)
    scores, labels, weights = [], [], []
    for _ in range(rows):
        score = np.floor(40.0 * lcg.uniform()) / 40.0
        scores.append(score)
        labels.append(lcg.uniform() < 0.1 + 0.7 * score * score)
        weights.append(0.5 + 0.25 * np.floor(4.0 * lcg.uniform()))
    return np.array(scores), np.array(labels, dtype=float), np.array(weights)


scores, labels, weights = data(300)
print(f"// By tests/reference/isotonic.py with scikit-learn {sklearn.__version__} and numpy {np.__version__}: share, centre, weight.")
for name, v in [("PLAIN", np.ones(300)), ("WEIGHTED", weights)]:
    fitted = IsotonicRegression().fit(scores, labels, sample_weight=v).predict(scores)
    steps = sorted(set(np.round(fitted, 13)))
    print(f"const {name}: [[f64; 3]; {len(steps)}] = [")
    for step in steps:
        inside = np.abs(fitted - step) < 1e-12
        centre = np.average(scores[inside], weights=v[inside])
        print(f"    [{float(fitted[inside][0])!r}, {float(centre)!r}, {float(v[inside].sum())!r}],")
    print("];")
