"""Units in which networks state pollutants without saying so."""

_PARTICLES, _GASES = ("pm25", "pm10"), ("so2", "no2", "no", "o3")

#: Of EEA, Spain, the United Kingdom, China and India.
MASSES = {"co": "mg m-3"} | dict.fromkeys((*_PARTICLES, *_GASES), "ug m-3")
#: Of the Americas and Taiwan.
RATIOS = dict.fromkeys(_PARTICLES, "ug m-3") | {"co": "ppm"} | dict.fromkeys(_GASES, "ppb")
