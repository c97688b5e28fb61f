"""What a column may well be without being any field of ours: an amount of money, a customer, a document number."""

from __future__ import annotations

DECOYS: dict[str, tuple[str, str]] = {
    "amount": (
        "an amount of money",
        """
        amount, total, revenue, turnover, sales amount, sales value, total price, total amount, value, net sales, gross
        sales, line total, net amount, gross amount, extended price, total sales, subtotal, sales eur, sales usd, sales
        revenue, dollar sales, net value, total value, ext price, stock value, inventory value, line amount, sales price
        total, umsatz, betrag, gesamtpreis, summe, gesamt, gesamtbetrag, nettoumsatz, bruttoumsatz, erlos, wert,
        zeilensumme, warenwert, nettobetrag, bruttobetrag, positionswert, lagerwert, umsatz eur, montant, ca, chiffre d
        affaires, total ttc, total ht, montant ttc, montant ht, ca ttc, ca ht, valeur, importe, importe total, total
        linea, facturacion, ventas euros, importe neto, valor, ventas netas, importo, totale, fatturato, ricavo, valore,
        importo totale, totale riga, valor total, vl total, faturamento, receita, vlr total, total item, bedrag, omzet,
        totaal, totaalbedrag, omzet excl, omzet incl, netto omzet, wartosc, kwota, obrot, suma, wartosc netto, wartosc
        brutto, sprzedaz netto, sprzedaz wartosciowo, tutar, toplam, ciro, net tutar, brut tutar, satis tutari, toplam
        tutar, netwr, dmbtr, wrbtr, saleamt, salesamt, umwrt
        """,
    ),
    "discount": (
        "a discount",
        """
        discount, disc, markdown, coupon, rebate, retail disc, coupon disc, coupon match disc, discount amount, discount
        pct, rabatt, nachlass, skonto, remise, reduction, descuento, sconto, desconto, korting, rabat, upust, indirim,
        iskonto, preisnachlass, kzwi
        """,
    ),
    "tax": (
        "a tax",
        """
        tax, vat, vat rate, sales tax, tax rate, gst, tax amount, mwst, ust, steuer, mwst satz, tva, taux tva, iva,
        imposto, icms, btw, kdv, podatek, stawka vat, kdv orani, mwskz
        """,
    ),
    "margin": (
        "a margin",
        """
        margin, profit, gross margin, gross profit, marge, rohertrag, deckungsbeitrag, db, margen, margine, margem,
        marza, kar, beneficio, benefice, utile, lucro
        """,
    ),
    "customer": (
        "a customer",
        """
        customer, customer id, client, customers, member id, loyalty id, household id, household key, customer no, card
        number, footfall, visitors, traffic, customer count, kunde, kunden, kundennummer, kunden nr, kundenanzahl,
        clientes, cliente, klant, klantnummer, aantal klanten, klient, nr klienta, musteri, musteri no, musteri sayisi,
        kundenkarte, code client, no client, id cliente, carte fidelite, kunnr, members, guests
        """,
    ),
    "document": (
        "a document or line number",
        """
        invoice, invoice no, receipt, receipt no, receipt number, order id, order no, order number, transaction id,
        trans id, ticket, ticket no, basket id, basket, transaction no, transaction number, bill no, line no, line
        number, line, row, row id, row number, id, index, record id, document no, pos, seq, sequence, uuid, key, guid,
        unnamed 0, transaction key, sales order, po number, batch id, lot, order line, check number, no, nr, beleg,
        belegnummer, beleg nr, bon, bonnr, bon nr, rechnung, rechnungsnummer, rechnungs nr, auftrag, auftragsnummer,
        position, zeile, lfd nr, laufende nummer, bonnummer, zeilennummer, positionsnr, no ticket, facture, no facture,
        numero ticket, commande, ligne, factura, num factura, num ticket, numero factura, pedido, linea, num linea,
        scontrino, fattura, numero scontrino, nr scontrino, riga, ordine, nota fiscal, nf, numero nota, item nf, cupom,
        bonnr nl, factuur, factuurnummer, ordernummer, regel, regelnr, paragon, nr paragonu, faktura, nr faktury, numer
        dokumentu, lp, zamowienie, nr dokumentu, fis no, fatura, fatura no, belge no, sira, sira no, siparis no, vbeln,
        posnr, belnr, mblnr, charg, lot number
        """,
    ),
    "time": (
        "a time of day",
        """
        time, hour, time of day, sale time, trans time, zeit, uhrzeit, stunde, heure, hora, ora, godzina, czas, saat,
        tijd, uur, uhr, minute, erzet
        """,
    ),
    "calendar": (
        "a part of the calendar",
        """
        weekday, day of week, dayofweek, month, year, quarter, week number, week no, weekno, fiscal week, fiscal year,
        year week, wochentag, monat, jahr, quartal, kw, kalenderwoche, jour semaine, semaine, mois, annee, mes, ano, dia
        semana, dia de la semana, anno, mese, settimana, giorno settimana, maand, jaar, week nr, miesiac, rok, tydzien,
        ay, yil, hafta, dzien tygodnia, haftanin gunu, season, days, open, semana, weeknummer, fiscal period
        """,
    ),
    "other_date": (
        "another date",
        """
        due date, expiry date, expiration date, best before, created date, updated at, modified at, last modified, ship
        date, delivery date, load date, extract date, birth date, required date, print date, last sale date, first sale
        date, start date, end date, mhd, verfallsdatum, faelligkeitsdatum, lieferdatum, anderungsdatum, erstellt am,
        date livraison, date echeance, fecha entrega, fecha vencimiento, data scadenza, data consegna, data entrega,
        data vencimento, leverdatum, vervaldatum, data waznosci, termin platnosci, data dostawy, vade tarihi, teslim
        tarihi, son kullanma tarihi, lfdat, exportdatum, date export
        """,
    ),
    "product_name": (
        "a description, not a number",
        """
        product name, item name, item description, description, product description, artikelbezeichnung, bezeichnung,
        artikelname, artikeltext, produktname, libelle, designation, libelle article, nom produit, descripcion, nombre
        producto, descripcion articulo, descrizione, descrizione articolo, descricao, nome produto, omschrijving,
        artikelomschrijving, productnaam, nazwa towaru, nazwa produktu, nazwa, opis, urun adi, stok adi, malzeme tanimi,
        maktx, desc, name, item desc, product title, product desc, title
        """,
    ),
    "store_name": (
        "a name of a place",
        """
        store name, shop name, branch name, location name, filialname, filialbezeichnung, nom magasin, nombre tienda,
        nome negozio, nome loja, winkelnaam, filiaalnaam, nazwa sklepu, magaza adi, sube adi, city, town, state, region,
        country, address, zip, postcode, ort, stadt, plz, land, strasse, ville, pays, adresse, code postal, ciudad,
        pais, provincia, direccion, citta, indirizzo, cidade, uf, estado, endereco, plaats, gemeente, miasto, adres,
        wojewodztwo, sehir, il, ilce, store type, store format, cluster, store cluster, kraj, regio, ulke, name1, ort01,
        area, store city, region code, store size, territory
        """,
    ),
    "person": (
        "a person",
        """
        cashier, employee, clerk, sales rep, salesperson, operator, kassierer, verkaufer, bediener, mitarbeiter,
        vendeur, caissier, vendedor, cajero, cassiere, venditore, kasjer, sprzedawca, kasiyer, personel,
        kassamedewerker, verkoper, user, user id, operador, server
        """,
    ),
    "till": (
        "a till or a terminal",
        """
        till, register, terminal, pos terminal, kasse, kassennummer, kassen nr, kassennr, caisse, no caisse, caja,
        cassa, caixa, kassa, kassanummer, kasa, nr kasy, kasa no, terminal id, lane, till no, register no, pdv caixa
        """,
    ),
    "payment": (
        "a way of payment",
        """
        payment, payment type, payment method, tender, tender type, zahlungsart, zahlart, mode de paiement, reglement,
        forma de pago, medio pago, pagamento, forma pagamento, betaalwijze, betaalmethode, platnosc, forma platnosci,
        odeme, odeme tipi
        """,
    ),
    "currency": (
        "a currency",
        """
        currency, currency code, curr, wahrung, waers, devise, moneda, divisa, valuta, moeda, waluta, para birimi,
        waehrung, doviz, valuta it
        """,
    ),
    "measure": (
        "a unit of measure or a measure",
        """
        uom, unit of measure, meins, vrkme, einheit, mengeneinheit, me, unite, unite de mesure, unidad medida, unidad de
        medida, unita misura, um, unidade medida, un, eenheid, jm, jednostka, j m, birim, olcu birimi, pack size, case
        size, weight, gewicht, poids, peso, waga, agirlik, package size, vpe, size, colour, color, farbe, grosse, kg,
        basme
        """,
    ),
    "supplier": (
        "a supplier or a brand",
        """
        supplier, vendor, brand, manufacturer, lieferant, lieferanten nr, marke, hersteller, fournisseur, marque,
        proveedor, marca, fornitore, fornecedor, leverancier, merk, dostawca, producent, marka, tedarikci, lifnr,
        supplier id
        """,
    ),
    "channel": (
        "a channel",
        """
        channel, sales channel, order channel, kanal, vertriebsweg, canal, canale, kanaal, kanal sprzedazy, satis
        kanali, vtweg, platform, source, fulfilment, marketplace
        """,
    ),
    "weather": (
        "a figure about the surroundings",
        """
        temperature, temp, weather, rain, precipitation, fuel price, cpi, unemployment, oil price, humidity, temperatur,
        wetter, regen, niederschlag, competition distance, weekday index, elasticity, forecast, prediction, budget,
        target, plan, forecast qty, prognose, planmenge, prevision, waste, shrink, schwund, abschrift, casse, merma,
        scarto, quebra, strata, fire, promo price, price change, returns, returned qty, qty returned, retouren,
        retourmenge, returned, return qty, devoluciones, resi, devolucoes, retours, zwroty, iade, iade miktari, lost
        sales, opening stock, anfangsbestand, min stock, max stock, mindestbestand, reorder point, safety stock,
        meldebestand, facings, shelf
        """,
    ),
    "tenant": (
        "a company",
        """
        company, company code, mandt, mandant, bukrs, client no, tenant, firma, societe, empresa, azienda, bedrijf,
        sirket, legal entity, organisation, org id
        """,
    ),
}
"""Look-alike to what it is, in words, and its names: it competes for a column, so that revenue does not become a
quantity for want of a better name."""
