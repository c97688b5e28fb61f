"""Countries with their currency and most common time zone: what the application form fills in, for people to change."""

from __future__ import annotations

from typing import NamedTuple


class Country(NamedTuple):
    """ISO 3166 code, name, IANA time zone, ISO 4217 currency."""

    code: str
    name: str
    time_zone: str
    currency: str


_TABLE = """
AR Argentina|America/Argentina/Buenos_Aires|ARS
AU Australia|Australia/Sydney|AUD
AT Austria|Europe/Vienna|EUR
BD Bangladesh|Asia/Dhaka|BDT
BE Belgium|Europe/Brussels|EUR
BO Bolivia|America/La_Paz|BOB
BA Bosnia and Herzegovina|Europe/Sarajevo|BAM
BR Brazil|America/Sao_Paulo|BRL
BG Bulgaria|Europe/Sofia|EUR
CA Canada|America/Toronto|CAD
CL Chile|America/Santiago|CLP
CN China|Asia/Shanghai|CNY
CO Colombia|America/Bogota|COP
CR Costa Rica|America/Costa_Rica|CRC
HR Croatia|Europe/Zagreb|EUR
CY Cyprus|Asia/Nicosia|EUR
CZ Czechia|Europe/Prague|CZK
DK Denmark|Europe/Copenhagen|DKK
DO Dominican Republic|America/Santo_Domingo|DOP
EC Ecuador|America/Guayaquil|USD
EG Egypt|Africa/Cairo|EGP
EE Estonia|Europe/Tallinn|EUR
FI Finland|Europe/Helsinki|EUR
FR France|Europe/Paris|EUR
GE Georgia|Asia/Tbilisi|GEL
DE Germany|Europe/Berlin|EUR
GH Ghana|Africa/Accra|GHS
GR Greece|Europe/Athens|EUR
GT Guatemala|America/Guatemala|GTQ
HK Hong Kong|Asia/Hong_Kong|HKD
HU Hungary|Europe/Budapest|HUF
IS Iceland|Atlantic/Reykjavik|ISK
IN India|Asia/Kolkata|INR
ID Indonesia|Asia/Jakarta|IDR
IE Ireland|Europe/Dublin|EUR
IL Israel|Asia/Jerusalem|ILS
IT Italy|Europe/Rome|EUR
JP Japan|Asia/Tokyo|JPY
JO Jordan|Asia/Amman|JOD
KZ Kazakhstan|Asia/Almaty|KZT
KE Kenya|Africa/Nairobi|KES
KR Korea (South)|Asia/Seoul|KRW
KW Kuwait|Asia/Kuwait|KWD
LV Latvia|Europe/Riga|EUR
LI Liechtenstein|Europe/Vaduz|CHF
LT Lithuania|Europe/Vilnius|EUR
LU Luxembourg|Europe/Luxembourg|EUR
MY Malaysia|Asia/Kuala_Lumpur|MYR
MT Malta|Europe/Malta|EUR
MX Mexico|America/Mexico_City|MXN
MD Moldova|Europe/Chisinau|MDL
MA Morocco|Africa/Casablanca|MAD
NL Netherlands|Europe/Amsterdam|EUR
NZ New Zealand|Pacific/Auckland|NZD
NG Nigeria|Africa/Lagos|NGN
MK North Macedonia|Europe/Skopje|MKD
NO Norway|Europe/Oslo|NOK
PK Pakistan|Asia/Karachi|PKR
PA Panama|America/Panama|USD
PY Paraguay|America/Asuncion|PYG
PE Peru|America/Lima|PEN
PH Philippines|Asia/Manila|PHP
PL Poland|Europe/Warsaw|PLN
PT Portugal|Europe/Lisbon|EUR
QA Qatar|Asia/Qatar|QAR
RO Romania|Europe/Bucharest|RON
SA Saudi Arabia|Asia/Riyadh|SAR
RS Serbia|Europe/Belgrade|RSD
SG Singapore|Asia/Singapore|SGD
SK Slovakia|Europe/Bratislava|EUR
SI Slovenia|Europe/Ljubljana|EUR
ZA South Africa|Africa/Johannesburg|ZAR
ES Spain|Europe/Madrid|EUR
LK Sri Lanka|Asia/Colombo|LKR
SE Sweden|Europe/Stockholm|SEK
CH Switzerland|Europe/Zurich|CHF
TW Taiwan|Asia/Taipei|TWD
TZ Tanzania|Africa/Dar_es_Salaam|TZS
TH Thailand|Asia/Bangkok|THB
TN Tunisia|Africa/Tunis|TND
TR Türkiye|Europe/Istanbul|TRY
UG Uganda|Africa/Kampala|UGX
UA Ukraine|Europe/Kyiv|UAH
AE United Arab Emirates|Asia/Dubai|AED
GB United Kingdom|Europe/London|GBP
US United States|America/New_York|USD
UY Uruguay|America/Montevideo|UYU
VN Vietnam|Asia/Ho_Chi_Minh|VND
"""
COUNTRIES: dict[str, Country] = {
    line[:2]: Country(line[:2], *line[3:].split("|")) for line in _TABLE.strip().splitlines()
}
