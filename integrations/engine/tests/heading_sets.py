"""Heading lines as tills, shop systems, ERPs and public data sets write them, each with cells that fit together.

One line: a name, then `heading=kind` separated by `;`, where `>field` marks what the column is (nothing: no field of
ours); a line that begins with `>>` goes on with the one before. The kinds are figures of one made-up shop, see `World`.
The sets of `TUNED` were looked at while the weights were set; those of `HELD_OUT` were written beforehand and only
measured (one omission that they showed, the Spanish "sí", was mended after).
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from datetime import date, timedelta

TUNED = """
till-us|sale_date=d.mdy>date;store=store>store_id;sku=code>product_id;qty=qty>quantity;price=price>unit_price
erp-extract|business_date=d.iso>date;district_no=int3>store_id;line_code=int5>product_id;units_sold=qty>quantity;
>>avg_price_cents=cents>unit_price;on_promotion=flag>is_promotional;department=cat>category
rossmann|Store=store>store_id;DayOfWeek=weekday;Date=d.iso>date;Sales=bigint>quantity;Customers=people;Open=flag;
>>Promo=flag>is_promotional;SchoolHoliday=flag
favorita|id=run;date=d.iso>date;store_nbr=store>store_id;item_nbr=int6>product_id;unit_sales=qty>quantity;
>>onpromotion=tf>is_promotional
walmart|Store=store>store_id;Dept=int2>product_id;Date=d.iso>date;Weekly_Sales=amount>quantity;IsHoliday=tf>is_holiday
online-retail|InvoiceNo=doc;StockCode=code>product_id;Description=text;Quantity=qtyret>quantity;
>>InvoiceDate=d.clock>date;UnitPrice=price>unit_price;CustomerID=people;Country=town
completejourney|household_id=people;store_id=int3>store_id;basket_id=doc;product_id=int6>product_id;
>>quantity=qty>quantity;sales_value=amount;retail_disc=disc;coupon_disc=disc;week=weekno;
>>transaction_timestamp=d.clock>date
kaggle-demand|date=d.iso>date;store=store>store_id;item=int2>product_id;sales=qty>quantity
kasse-de|Datum=d.dot>date;Filiale=store>store_id;ArtikelNr=code>product_id;Bezeichnung=text;Menge=qty>quantity;
>>VK-Preis=priceDE>unit_price;Umsatz=amountDE;Warengruppe=cat>category
sap-sales|BUDAT=d.key>date;WERKS=plant>store_id;MATNR=matnr>product_id;MENGE=qty>quantity;MEINS=uom;DMBTR=amount;
>>BWART=int3>transaction_type
sap-billing|FKDAT=d.key>date;VBELN=doc;POSNR=pos;MATNR=matnr>product_id;WERKS=plant>store_id;FKIMG=qty>quantity;
>>NETWR=amount;WAERS=cur
caisse-fr|Date de vente=d.dmy>date;Code magasin=plant>store_id;Code article=ean>product_id;Libellé=text;
>>Qté=qty>quantity;Prix unitaire TTC=priceDE>unit_price;Montant TTC=amountDE;Rayon=cat>category
tpv-es|Fecha=d.dmy>date;Tienda=store>store_id;Cód. Artículo=code>product_id;Descripción=text;Uds.=qty>quantity;
>>PVP=priceDE>unit_price;Importe=amountDE
cassa-it|Data=d.dmy>date;Negozio=town>store_id;Codice articolo=code>product_id;Descrizione=text;Q.tà=qty>quantity;
>>Prezzo=priceDE>unit_price;Totale=amountDE
loja-pt|Data=d.dmy>date;Loja=store>store_id;Cód. Produto=code>product_id;Produto=text;Qtd=qty>quantity;
>>Preço Unit.=priceDE>unit_price;Valor Total=amountDE
kassa-nl|Datum=d.dash>date;Filiaalnr=store>store_id;Artikelcode=code>product_id;Omschrijving=text;
>>Aantal=qty>quantity;Prijs=priceDE>unit_price;Bedrag=amountDE
kasa-pl|Data sprzedaży=d.iso>date;Sklep=town>store_id;Indeks=code>product_id;Nazwa towaru=text;Ilość=qty>quantity;
>>Cena brutto=priceDE>unit_price;Wartość brutto=amountDE
kasa-tr|Tarih=d.dot>date;Mağaza Kodu=plant>store_id;Stok Kodu=code>product_id;Ürün Adı=text;Miktar=qty>quantity;
>>Birim Fiyat=priceDE>unit_price;Tutar=amountDE
shopify|Day=d.iso>date;POS location=town>store_id;Product title=text;Product variant SKU=code>product_id;
>>Units sold=qty>quantity;Net sales=amount
square|Date=d.mdy>date;Time=clock;Location=town>store_id;Category=cat>category;Item=text;SKU=code>product_id;
>>Qty=qty>quantity;Gross Sales=amount;Discounts=disc;Transaction ID=hex
lightspeed|Sale Date=d.clock>date;Outlet=town>store_id;Receipt Number=doc;SKU=code>product_id;Quantity=qty>quantity;
>>Unit Cost=cost>unit_cost;Retail Price=price>unit_price;Tax=disc;Register=int1
umlaut-ascii|VERKAUFSDATUM=d.dot>date;MARKTNR=int3>store_id;EAN=ean>product_id;STUECK=qty>quantity;
>>STUECKPREIS=priceDE>unit_price;LAGERBESTAND=stock>on_hand_qty
camel|transactionDate=d.iso>date;storeNumber=int3>store_id;itemNumber=int6>product_id;quantitySold=qty>quantity;
>>unitRetailPrice=price>unit_price;onHandQuantity=stock>on_hand_qty
upper-snake|TXN_DT=d.key>date;LOC_ID=int3>store_id;ITEM_ID=int6>product_id;SLS_QTY=qty>quantity;SLS_AMT=amount;
>>INV_QTY=stock>on_hand_qty
typos|Dat=d.iso>date;Stroe=store>store_id;Prodct=code>product_id;Quantitiy=qty>quantity;Prise=price>unit_price
returns-type|date=d.iso>date;shop=store>store_id;article=code>product_id;pieces=qty>quantity;
>>kind of sale=retword>transaction_type
nameless|F1=d.iso>date;F2=store;F3=ean>product_id;F4=qty>quantity;F5=price>unit_price;F6=amount
rows-first|#=run;Day=d.iso>date;Branch=town>store_id;Article No.=ean>product_id;Sold=qty>quantity;
>>Stock=stock>on_hand_qty
revenue-only|date=d.iso>date;store=store>store_id;product=code>product_id;revenue=amount;price=price>unit_price
two-dates|Order date=d.iso>date;Delivery date=d.iso;Warehouse=town>store_id;Part no=code>product_id;
>>Order qty=qty>quantity
weights|Datum=d.dot>date;Laden=store>store_id;PLU=int3>product_id;Menge kg=kilo>quantity;Preis=priceDE>unit_price
m5-long|d=d.iso>date;store_id=plant>store_id;item_id=code>product_id;cat_id=cat>category;sales=qty>quantity;
>>sell_price=price>unit_price;event=cat
"""
HELD_OUT = """
dept-store|TRAN_DATE=d.iso>date;STORE_NUM=int3>store_id;SKU_NUM=int6>product_id;TRAN_QTY=qty>quantity;
>>TRAN_AMT=amount;ORIG_PRICE=price>unit_price
grocery-us|Week End Date=d.mdy>date;Store Num=int3>store_id;UPC=ean>product_id;Units=qty>quantity;Visits=people;
>>Spend=amount;Price=price>unit_price;Base Price=price;Feature=flag>is_promotional;Display=flag
dominicks|STORE=int3>store_id;UPC=ean>product_id;WEEK=weekno;MOVE=qty>quantity;QTY=one;PRICE=price>unit_price;
>>SALE=cat;PROFIT=disc
ta-feng|TRANSACTION_DT=d.mdy>date;CUSTOMER_ID=people;AGE_GROUP=cat;PIN_CODE=int6;PRODUCT_SUBCLASS=int5>category;
>>PRODUCT_ID=ean>product_id;AMOUNT=qty>quantity;ASSET=cost;SALES_PRICE=amount
1c-sales|date=d.dot>date;date_block_num=run;shop_id=store>store_id;item_id=int5>product_id;
>>item_price=price>unit_price;item_cnt_day=qtyret>quantity
drogerie-de|Verkaufstag=d.dot>date;Filialnummer=int3>store_id;Artikel=int6>product_id;Absatz in Stück=qty>quantity;
>>Umsatz brutto=amountDE;Aktion J/N=jn>is_promotional
baeckerei|Tag=d.dot>date;Verkaufsstelle=town>store_id;Art.-Nr.=int3>product_id;Artikeltext=text;
>>verkauft=qty>quantity;Retouren=stock
baumarkt|Belegdatum=d.key>date;Markt=int3>store_id;Sachnummer=int6>product_id;Verkaufte Stückzahl=qty>quantity;
>>EK-Preis=cost>unit_cost;VK brutto=priceDE>unit_price;Bestand=stock>on_hand_qty
datev-like|Buchungsdatum=d.dot>date;Kostenstelle=int3;Artikelnummer=int6>product_id;Anzahl=qty>quantity;
>>Einzelpreis netto=priceDE>unit_price;Gesamtbetrag=amountDE;Filialbezeichnung=town>store_id
pharmacie-fr|DATE_OPERATION=d.dmy>date;PDV=plant>store_id;CODE_EAN13=ean>product_id;QTE_VENDUE=qty>quantity;
>>PV_TTC=priceDE>unit_price;STOCK_MAG=stock>on_hand_qty
boulangerie-fr|jour=d.dmy>date;boutique=town>store_id;produit=text>product_id;nb vendus=qty>quantity;
>>ca ttc=amountDE;jour férié=ouinon>is_holiday
super-es|FECHA_VENTA=d.dmy>date;COD_TIENDA=int3>store_id;COD_ARTICULO=int6>product_id;CANTIDAD=qty>quantity;
>>PRECIO_VENTA=priceDE>unit_price;IMPORTE_TOTAL=amountDE;OFERTA=sino>is_promotional
farmacia-es|Fecha operación=d.dmy>date;Sucursal=town>store_id;Código de barras=ean>product_id;
>>Unidades vendidas=qty>quantity;Stock actual=stock>on_hand_qty
abbigliamento|Data scontrino=d.dmy>date;Punto vendita=town>store_id;Cod. Art.=code>product_id;Taglia=cat;
>>Pezzi venduti=qty>quantity;Prezzo di vendita=priceDE>unit_price;Giacenza=stock>on_hand_qty
mercado-pt|DT_VENDA=d.dmy>date;COD_LOJA=int3>store_id;COD_BARRAS=ean>product_id;DESCRICAO=text;QTDE=qty>quantity;
>>VL_UNITARIO=priceDE>unit_price;VL_TOTAL=amountDE;ESTOQUE=stock>on_hand_qty
supermarkt-nl|Verkoopdatum=d.dash>date;Winkelnummer=int3>store_id;Artikelnummer=int6>product_id;
>>Verkocht aantal=qty>quantity;Omzet incl btw=amountDE;Voorraad=stock>on_hand_qty;Actie=jn>is_promotional
drogeria-pl|Data transakcji=d.iso>date;Nr sklepu=int3>store_id;Kod kreskowy=ean>product_id;
>>Liczba sztuk=qty>quantity;Cena jedn.=priceDE>unit_price;Stan magazynowy=stock>on_hand_qty;
>>Promocja=taknie>is_promotional
market-tr|Fiş Tarihi=d.dot>date;Şube=town>store_id;Barkod=ean>product_id;Ürün=text;Satış Adedi=qty>quantity;
>>Satış Fiyatı=priceDE>unit_price;Toplam Tutar=amountDE;Kampanya=evet>is_promotional
oracle-retail|TRAN_DATE=d.iso>date;LOC=int3>store_id;ITEM=int6>product_id;SALES_ISSUES=qty>quantity;
>>TOTAL_RETAIL=amount;STOCK_ON_HAND=stock>on_hand_qty
ms-dynamics|Posting Date=d.iso>date;Location Code=plant>store_id;Item No_=code>product_id;
>>Invoiced Quantity=qty>quantity;Document No_=hex;Entry Type=retword>transaction_type
sap-b1|DocDate=d.iso>date;WhsCode=plant>store_id;ItemCode=code>product_id;Dscription=text;Quantity=qty>quantity;
>>Price=price>unit_price;LineTotal=amount
woocommerce|order_date=d.clock>date;order_id=doc;product_sku=code>product_id;product_name=text;
>>product_qty=qty>quantity;item_total=amount;shop=town>store_id
amazon|purchase-date=d.clock>date;amazon-order-id=hex;sku=code>product_id;asin=hex;quantity=qty>quantity;
>>item-price=amount;fulfillment-center=plant>store_id
restaurant|Business Day=d.iso>date;Restaurant=town>store_id;Menu Item=text>product_id;Count Sold=qty>quantity;
>>Guests=people;Holiday=flag>is_holiday
m-warehouse|Ship Date=d.iso;Order Date=d.iso>date;Site=plant>store_id;Material=matnr>product_id;
>>Qty Ordered=qty>quantity;On Order=stock>on_order_qty;On Hand=stock>on_hand_qty
abbrev|dt=d.iso>date;str=int3>store_id;art=code>product_id;mge=qty>quantity;vkp=priceDE>unit_price;ek=cost>unit_cost
spaces-case|  SALES DATE =d.mdy>date; STORE # =int3>store_id; ITEM # =int6>product_id; QTY SOLD =qty>quantity;
>> UNIT $ =price>unit_price
suffixes|date_key=d.key>date;store_key=int3>store_id;product_key=int6>product_id;quantity_sum=qty>quantity;
>>net_amount_sum=amount;promo_flag=flag>is_promotional
mixed-language|Datum=d.iso>date;Shop=town>store_id;SKU=code>product_id;Bezeichnung=text;Qty=qty>quantity;
>>Price (EUR)=price>unit_price;Stock=stock>on_hand_qty
no-store|Date=d.iso>date;Product=text>product_id;Units Sold=qty>quantity;Manufacturing Price=cost>unit_cost;
>>Sale Price=price>unit_price;Month Number=weekday;Year=int2
wrong-names|date=text;store=price;sku=d.iso>date;qty=text
counter|reading_date=d.iso>date;location=town>store_id;item_code=code>product_id;qty_sold=qty>quantity;line_no=run;
>>barcode=ean
cryptic|a1=store;b7=qty;zz=text;k9=int6
russian|Дата=d.dot>date;Магазин=town;Артикул=ean>product_id;Количество=qty;Цена=priceDE
"""


@dataclass(frozen=True)
class HeadingSet:
    """A file's headings, its first rows, and the field that each column really is."""

    name: str
    headings: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    truth: tuple[str | None, ...]


def heading_sets(text: str) -> list[HeadingSet]:
    """The sets of one of the two tables."""
    return [_read(line) for line in text.replace("\n>>", "").split("\n") if line]


def _read(line: str) -> HeadingSet:
    name, columns = line.split("|", 1)
    headings, kinds, truth = [], [], []
    for column in columns.split(";"):
        heading, kind = column.rsplit("=", 1)
        kind, _, field = kind.partition(">")
        headings.append(heading)
        kinds.append(kind)
        truth.append(field or None)
    world = World(name)
    rows = tuple(tuple(world.cell(at, kind) for kind in kinds) for at in range(120))
    return HeadingSet(name, tuple(headings), rows, tuple(truth))


_TOWNS, _GROUPS = ("Ulm", "Bad Tölz", "Lyon 3", "Gdańsk"), ("Dairy", "Bread & Rolls", "Wine")
_NAMES = ("Milk 1 l", "Rye bread", "Red wine", "Butter", "Apples, loose", "Coffee 500 g", "Tea", "Soap bar")
_DATES = {
    "dot": "%d.%m.%Y",
    "dmy": "%d/%m/%Y",
    "mdy": "%m/%d/%Y",
    "iso": "%Y-%m-%d",
    "key": "%Y%m%d",
    "dash": "%d-%m-%Y",
}
_YES_NO = {
    "flag": ("1", "0"), "tf": ("True", "False"), "jn": ("J", "N"), "ouinon": ("oui", "non"), "sino": ("sí", "no"),
    "taknie": ("tak", "nie"), "evet": ("evet", "hayır"),
}  # fmt: skip


class World:
    """A made-up shop: 120 rows in order of day, whose price times quantity is the amount."""

    def __init__(self, name: str) -> None:
        draw = random.Random(name)
        self.stores, self.products, self.draw = 4, 8, draw
        self.lines = sorted(
            (draw.randrange(24), draw.randrange(4), draw.randrange(8), draw.choice((1, 1, 1, 2, 2, 3, 4, 6, 12)))
            for _ in range(120)
        )
        self.prices = [draw.randrange(60, 2000) for _ in range(8)]

    def cell(self, at: int, kind: str) -> str:
        """The cell of one row."""
        day, store, product, quantity = self.lines[at]
        cents = self.prices[product]
        when = date(2024, 2, 20) + timedelta(days=day)
        if kind.startswith("d."):
            style = kind[2:]
            return f"{when} {8 + at % 12:02}:{at % 60:02}:00" if style == "clock" else when.strftime(_DATES[style])
        if kind in _YES_NO:
            return _YES_NO[kind][0 if (day + product) % 5 == 0 else 1]
        texts = {
            "store": str(store + 1),
            "plant": f"{1000 + 10 * store}",
            "town": _TOWNS[store],
            "int1": str(1 + at % 3),
            "int2": str(11 + product),
            "int3": str(101 + 7 * store + (0 if store else product % 2)),
            "int5": str(40310 + 17 * product),
            "int6": str(810233 + 4111 * product),
            "code": f"AB-{100 + 13 * product}",
            "matnr": f"{70000 + 31 * product:018}",
            "ean": _ean(product),
            "text": _NAMES[product],
            "cat": _GROUPS[product % 3],
            "qty": str(quantity),
            "qtyret": str(-quantity if at % 17 == 5 else quantity),
            "kilo": f"{quantity * 0.317:.3f}".replace(".", ","),
            "one": "1",
            "bigint": str(4000 + 37 * at % 2900),
            "price": f"{cents / 100:.2f}",
            "cents": str(cents),
            "cost": f"{cents * 0.6 / 100:.2f}",
            "amount": f"{cents * quantity / 100:.2f}",
            "disc": f"{(at % 7) * 0.15:.2f}",
            "stock": str(20 + (at * 7) % 50),
            "people": str(2000 + at * 13 % 331),
            "doc": str(536365 + at // 2),
            "pos": f"{10 * (1 + at % 2):06}",
            "run": str(at),
            "hex": f"{(at + 9) * 7919 * 65537:012x}",
            "weekday": str(when.isoweekday()),
            "weekno": str(when.isocalendar().week),
            "clock": f"{8 + at % 12:02}:{at % 60:02}",
            "uom": "ST",
            "cur": "EUR",
            "retword": "Return" if at % 17 == 5 else "Sale",
        }  # fmt: skip
        if kind in ("priceDE", "amountDE"):
            return texts[kind[:-2]].replace(".", ",")
        return texts[kind]


def _ean(product: int) -> str:
    body = f"400638133{200 + product:03}"
    total = sum(int(sign) * (3 if place % 2 else 1) for place, sign in enumerate(body))
    return body + str((10 - total % 10) % 10)
