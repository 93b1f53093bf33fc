"""The noise of a station, drawn towards that of its type of instrument where types differ."""

import numpy as np

from aqreanalysis.methods.station_types import FEWEST

#: Probability with which types of the same noise are taken for different.
MISTAKEN = 0.02
#: How far a station's own noise, known from its errors alone, is drawn to the mean of its type.
SHARE = 0.5


def drawn_to_types(log_noise: np.ndarray, label: np.ndarray) -> np.ndarray:
    """Return the noise of stations, each half way to the mean of its type if types differ.

    Types of few stations, and stations without a label, stay as they are.

    Parameters
    ----------
    log_noise : (station,) float64
        Logarithm of the factor of each one's noise.
    label : (station,) str

    Examples
    --------
    >>> label = np.repeat(["reference", "sensor"], 5)
    >>> noise = np.array([-1.0, -0.8, -1.2, -1.4, -0.6, 0.2, 0.4, 0.6, 0.8, 1.0])
    >>> drawn_to_types(noise, label).round(2).tolist()
    [-1.0, -0.9, -1.1, -1.2, -0.8, 0.4, 0.5, 0.6, 0.7, 0.8]
    >>> drawn_to_types(noise, np.tile(["reference", "sensor"], 5)).tolist() == noise.tolist()
    True
    """
    means = type_means(log_noise, label)
    if not means:
        return log_noise
    of_type = np.array([means.get(one, own) for one, own in zip(label, log_noise, strict=True)])
    return (1 - SHARE) * log_noise + SHARE * of_type


def type_means(log_noise: np.ndarray, label: np.ndarray) -> dict[str, float]:
    """Return the mean noise of each type that has stations enough; of none if they do not differ.

    Whether they do says the rank test of Kruskal and Wallis (1952, J. Am. Stat. Assoc. 47, 583).
    """
    from scipy.stats import kruskal  # here: a saved model without types predicts without it

    names, counts = np.unique(label[label != ""], return_counts=True)
    of_types = {str(name): log_noise[label == name] for name in names[counts >= FEWEST]}
    groups = list(of_types.values())
    if len(groups) < 2 or np.ptp(np.concatenate(groups)) == 0 or kruskal(*groups)[1] > MISTAKEN:
        return {}
    return {name: float(own.mean()) for name, own in of_types.items()}
