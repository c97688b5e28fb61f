"""What columns are called: the canonical fields in nine languages, with abbreviations and ERP codes.

A word behind `~` is weaker: it may mean something else as well. Words are folded before they are compared (see
`name_match`), so case, accents, umlauts, dashes and blanks do not matter, and each word stands here once.
"""

from __future__ import annotations

FIELDS: dict[str, dict[str, str]] = {
    "date": {
        "English": """
        date, sale date, sales date, business date, transaction date, day, trading day, posting date, invoice date,
        order date, calendar date, trans date, txn date, trx date, dt, receipt date, booking date, purchase date, date
        key, business day, ~timestamp, ~datetime, ~transaction time, ~transaction timestamp, ~week ending, ~week end
        date, ~week, ~ds, ~period, ~sold at, ~created at, ~time stamp, ~delivery date, ~ship date
        """,
        "German": """
        datum, verkaufsdatum, buchungsdatum, tag, belegdatum, kassentag, umsatzdatum, geschaftstag, rechnungsdatum,
        verkaufstag, bondatum, kalendertag, buchungstag, ~zeitstempel, ~bestelldatum
        """,
        "French": """
        date de vente, date vente, jour, date operation, date facture, date ticket, date comptable, date de transaction
        """,
        "Spanish": """
        fecha, fecha de venta, fecha venta, dia, fecha factura, fecha contable, fecha ticket, fecha operacion
        """,
        "Italian": """
        data, data vendita, data di vendita, giorno, data scontrino, data fattura, data documento, data registrazione
        """,
        "Portuguese": "data da venda, data venda, dia venda, data emissao, data movimento, dt venda",
        "Dutch": """
        datum verkoop, verkoopdatum, dag, boekdatum, boekingsdatum, factuurdatum, transactiedatum, verkoopdag
        """,
        "Polish": "data sprzedazy, dzien, data transakcji, data paragonu, data dokumentu, data wystawienia",
        "Turkish": "tarih, satis tarihi, gun, islem tarihi, fis tarihi, fatura tarihi, belge tarihi",
        "ERP": "budat, fkdat, bldat, erdat, audat, calday, 0calday, datekey, saledt, trandate, docdate, postingdate",
    },
    "store_id": {
        "English": """
        store, store id, shop, shop id, branch, branch id, outlet, outlet id, location, location id, site, site id,
        store no, store number, store code, store nbr, loc id, location code, location number, pos id,
        warehouse, point of sale,
        ~unit no, ~store name, ~shop name, ~branch name, ~loc, ~str, ~facility, ~restaurant, ~depot, ~district no,
        ~register store, ~whs, ~market
        """,
        "German": """
        filiale, filial nr, filialnummer, filialnr, laden, geschaft, markt, marktnummer, markt nr, standort, betrieb,
        betriebsstatte, verkaufsstelle, niederlassung, filialcode, marktnr, ~lager, ~haus, ~filialname
        """,
        "French": """
        magasin, code magasin, no magasin, numero magasin, boutique, point de vente, pdv, succursale, etablissement, id
        magasin, ~site, ~agence, ~nom magasin, ~depot
        """,
        "Spanish": """
        tienda, id tienda, codigo tienda, sucursal, local, punto de venta, cod tienda, establecimiento, num tienda,
        almacen, ~nombre tienda, ~centro
        """,
        "Italian": """
        negozio, codice negozio, punto vendita, pv, filiale id, cod negozio, id negozio, ~magazzino, ~sede, ~deposito
        """,
        "Portuguese": """
        loja, cod loja, codigo loja, filial, id loja, numero loja, ponto de venda, unidade loja, ~estabelecimento, ~nome
        loja
        """,
        "Dutch": """
        winkel, winkelnummer, winkel nr, filiaal, filiaalnummer, vestiging, vestigingsnummer, filiaalnr, winkelcode,
        ~locatie
        """,
        "Polish": """
        sklep, nr sklepu, numer sklepu, id sklepu, kod sklepu, oddzial, placowka, punkt sprzedazy, ~magazyn,
        ~lokalizacja
        """,
        "Turkish": "magaza, magaza kodu, magaza no, sube, sube kodu, sube no, magaza id, ~bayi, ~depo, ~isyeri",
        "ERP": """
        werks, store nr, storeid, loccode, siteid, whscode, ~vkorg, ~vkbur, gln, iln, bukr filiale, locnum, ~lgort,
        ~plant, ~werk
        """,
    },
    "product_id": {
        "English": """
        product, product id, sku, item, item id, item no, item number, item code, product code, product no, product
        number, article, article no, article number, stock code, stock item, upc, barcode, material, material number,
        plu, item nbr, part number, part no, style code, sku code, sku id, gtin, ~style, ~product name, ~item name,
        ~description, ~item description, ~product description, ~part, ~line code, ~isbn, ~goods
        """,
        "German": """
        artikel, artikelnummer, artikel nr, art nr, artnr, produkt, produktnummer, produkt nr, ware, warennummer,
        material nr, materialnummer, strichcode, produktcode, artikelcode, artikelnr, ~bezeichnung, ~artikelbezeichnung,
        ~artikelname, ~sachnummer, ~artikeltext
        """,
        "French": """
        article, code article, ref article, reference, reference article, produit, code produit, id produit, no article,
        code barre, code barres, ~libelle, ~designation, ~ref, ~nom produit, ~libelle article, ~code ean
        """,
        "Spanish": """
        producto, codigo producto, cod producto, articulo, codigo articulo, cod articulo, referencia, codigo barras, id
        producto, cod art, ~descripcion, ~nombre producto, ~codigo de barras
        """,
        "Italian": """
        prodotto, codice prodotto, articolo, codice articolo, cod articolo, cod art, id prodotto, codice a barre, cod
        prodotto, ~descrizione, ~descrizione articolo
        """,
        "Portuguese": """
        produto, codigo produto, cod produto, artigo, referencia artigo, id produto, cod barras, codigo barras, codigo
        de barras, ~descricao, ~nome produto
        """,
        "Dutch": """
        artikelcode, productcode, artikelnr, productnummer, artikel id, streepjescode, ~omschrijving, ~productnaam,
        ~artikelomschrijving
        """,
        "Polish": """
        towar, kod towaru, id towaru, indeks, symbol, kod produktu, nr artykulu, artykul, kod kreskowy, produkt id,
        indeks towaru, symbol towaru, ~nazwa towaru, ~nazwa produktu, ~nazwa
        """,
        "Turkish": "urun, urun kodu, urun no, stok kodu, malzeme, malzeme kodu, barkod, urun id, ~urun adi, ~stok adi",
        "ERP": """
        matnr, ean, ean13, ean code, ean11, itemcode, itemid, itmref, artno, prodid, stockcode, mtart nr, dpci, asin,
        wic
        """,
    },
    "quantity": {
        "English": """
        quantity, qty, units, units sold, qty sold, quantity sold, sold qty, sales qty, unit sales, sales units, pieces,
        pcs, sold, volume sold, sales quantity, item quantity, sold units, number sold, sales volume, qnty, qtty, quant,
        ordered qty, order qty, qty ordered, order quantity, invoiced qty, invoiced quantity, billed qty, ~sales,
        ~demand, ~volume, ~count, ~item count, ~weekly sales, ~sale, ~shipped qty, ~movement, ~move, ~y, ~unit
        """,
        "German": """
        menge, anzahl, stuck, stuckzahl, absatz, verkaufsmenge, verkaufte menge, absatzmenge, verkauft, abverkauf, stk,
        mge, abverkaufsmenge, fakturierte menge, ~verkaufe, ~vk menge
        """,
        "French": """
        quantite, qte, quantite vendue, qte vendue, unites vendues, nb vendu, nombre vendu, nb unites, unites, ~ventes,
        ~vendu, ~nombre
        """,
        "Spanish": """
        cantidad, cant, unidades, unidades vendidas, cantidad vendida, uds, cant vendida, uds vendidas, piezas, ~ventas,
        ~vendidas
        """,
        "Italian": """
        quantita, qta, quantita venduta, qta venduta, pezzi, pezzi venduti, unita vendute, venduto, ~vendite, ~unita
        """,
        "Portuguese": """
        quantidade, qtd, qtde, quantidade vendida, qtd vendida, unidades vendidas, qtd venda, ~vendas, ~pecas
        """,
        "Dutch": "aantal, hoeveelheid, verkocht aantal, aantal verkocht, stuks, verkochte stuks, ~afzet, ~verkopen",
        "Polish": """
        ilosc, liczba, sztuk, szt, ilosc sprzedana, sprzedana ilosc, liczba sztuk, sprzedaz ilosciowo, sprzedaz szt,
        ~sprzedaz
        """,
        "Turkish": "miktar, adet, satis adedi, satis miktari, satilan miktar, satilan adet, ~satis",
        "ERP": """
        menge, fkimg, kwmeng, lfimg, unitqty, saleqty, salesqty, qtysold, unitssold, qtyinv, 0quantity, unitsales
        """,
    },
    "unit_price": {
        "English": """
        unit price, price, sales price, selling price, price each, sell price, retail price, price per unit, item price,
        net price, gross price, list price, regular price, rrp, avg price, average price, unit retail, shelf price,
        price usd, price eur, unit price cents, ~retail, ~rate, ~msrp, ~each
        """,
        "German": """
        preis, einzelpreis, stuckpreis, verkaufspreis, vk preis, vk, vkp, bruttopreis, nettopreis, ep, e preis,
        listenpreis, ladenpreis
        """,
        "French": """
        prix, prix unitaire, pu, prix de vente, prix vente, prix ttc, prix ht, pvp ttc, pv ttc, pu ht, pu ttc, prix unit
        """,
        "Spanish": """
        precio, precio unitario, precio venta, precio de venta, pvp, p unitario, precio unidad, precio unit
        """,
        "Italian": "prezzo, prezzo unitario, prezzo di vendita, prezzo vendita, prezzo unit",
        "Portuguese": """
        preco, preco unitario, preco de venda, preco venda, valor unitario, vl unitario, vlr unit, preco unit
        """,
        "Dutch": "prijs, stuksprijs, eenheidsprijs, verkoopprijs, prijs per stuk",
        "Polish": "cena, cena jednostkowa, cena sprzedazy, cena brutto, cena netto, cena jedn",
        "Turkish": "fiyat, birim fiyat, satis fiyati, birim fiyati",
        "ERP": "kbetr, netpr, stprs vk, unitprice, verpr vk",
    },
    "unit_cost": {
        "English": """
        unit cost, cost, cost price, purchase price, buying price, cost per unit, cogs unit, landed cost, wholesale
        price, standard cost, cogs, avg cost, item cost
        """,
        "German": "einkaufspreis, ek, ek preis, einstandspreis, stuckkosten, wareneinsatz, ekp, kosten, wareneinstand",
        "French": "prix achat, prix d achat, cout, cout unitaire, pa, prix de revient, pa ht",
        "Spanish": "coste, costo, precio compra, precio de compra, coste unitario, costo unitario, precio coste",
        "Italian": "costo unitario, prezzo acquisto, costo, prezzo di acquisto",
        "Portuguese": "custo, custo unitario, preco custo, preco de custo",
        "Dutch": "kostprijs, inkoopprijs, inkoop prijs",
        "Polish": "koszt, cena zakupu, koszt jednostkowy",
        "Turkish": "maliyet, alis fiyati, birim maliyet",
        "ERP": "stprs, verpr, wavwr, unitcost",
    },
    "on_hand_qty": {
        "English": """
        on hand, on hand qty, stock, stock on hand, inventory, inventory level, soh, stock qty, stock level, qty on
        hand, inventory qty, inv qty, on hand quantity, closing stock, current stock,
        available stock, onhand, quantity on hand, stock units,
        ~available, ~balance, ~qoh, ~ending inventory
        """,
        "German": "bestand, lagerbestand, lagermenge, restbestand, filialbestand, bestandsmenge, warenbestand",
        "French": "stock disponible, qte stock, quantite en stock, en stock, stock magasin",
        "Spanish": "existencias, stock actual, inventario, stock tienda, saldo stock",
        "Italian": "giacenza, scorta, esistenza, giacenza magazzino",
        "Portuguese": "estoque, estoque atual, saldo estoque, existencia, stock loja, qtd estoque",
        "Dutch": "voorraad, voorraadstand, actuele voorraad, winkelvoorraad",
        "Polish": "stan, stan magazynowy, zapas, stan magazynu",
        "Turkish": "stok, stok miktari, eldeki stok, mevcut stok, stok adedi",
        "ERP": "labst, onhandqty, lbkum",
    },
    "on_order_qty": {
        "English": """
        on order, on order qty, qty on order, open orders, open po qty, inbound qty, in transit, incoming qty, purchase
        orders qty, open order qty, on po, in transit qty
        """,
        "German": "bestellt, offene bestellung, bestellmenge, offene bestellmenge, bestellbestand, zulauf",
        "French": "en commande, qte en commande, commandes en cours, quantite commandee",
        "Spanish": "en pedido, pedido pendiente, pendiente de recibir, cantidad pedida",
        "Italian": "in ordine, ordinato, quantita in ordine, qta ordinata",
        "Portuguese": "em pedido, pedido aberto, qtd pedida, encomendado",
        "Dutch": "in bestelling, openstaande bestelling, besteld",
        "Polish": "zamowione, w zamowieniu, ilosc zamowiona",
        "Turkish": "siparis miktari, siparisteki, acik siparis",
        "ERP": "onorderqty",
    },
    "is_promotional": {
        "English": """
        promo, promotion, on promotion, promo flag, is promo, is promotional, promotional, on promo, promotion flag, on
        sale, deal, special offer, offer flag, has promo, promoted, ~campaign, ~feature, ~display, ~special,
        ~onpromotion, ~discounted
        """,
        "German": """
        aktion, werbung, aktionskennzeichen, angebot, sonderangebot, aktionsartikel, in aktion, aktion jn, beworben,
        aktionspreis jn
        """,
        "French": "en promo, promo oui non, offre, en promotion, top promo, indicateur promo",
        "Spanish": "promocion, en promocion, oferta, en oferta",
        "Italian": "promozione, in promozione, offerta, in offerta, flag promo",
        "Portuguese": "promocao, em promocao, oferta, em oferta",
        "Dutch": "actie, aanbieding, in de aanbieding, promotie, actieartikel",
        "Polish": "promocja, w promocji, czy promocja",
        "Turkish": "promosyon, kampanya, indirimde, promosyonlu",
        "ERP": "aktnr jn, promoflag, isonpromotion",
    },
    "is_holiday": {
        "English": """
        holiday, is holiday, holiday flag, public holiday, bank holiday, isholiday, ~state holiday, ~school holiday
        """,
        "German": "feiertag, ist feiertag, feiertagskennzeichen, gesetzlicher feiertag",
        "French": "jour ferie, ferie, est ferie",
        "Spanish": "festivo, feriado, es festivo, dia festivo",
        "Italian": "festivo, festivita, giorno festivo",
        "Portuguese": "feriado, eh feriado",
        "Dutch": "feestdag, is feestdag",
        "Polish": "swieto, dzien wolny, czy swieto",
        "Turkish": "resmi tatil, tatil, bayram",
    },
    "category": {
        "English": """
        category, product category, department, dept, product group, merchandise group, product family, class,
        subcategory, commodity group, product type, item class, category name, segment, ~group, ~type of product,
        ~brand, ~section, ~aisle, ~family, ~division, ~commodity, ~line
        """,
        "German": """
        kategorie, warengruppe, wgr, artikelgruppe, produktgruppe, sortiment, abteilung, sparte, warengruppen nr,
        hauptwarengruppe
        """,
        "French": "categorie, rayon, famille, groupe articles, famille produit, sous famille",
        "Spanish": "categoria, familia, departamento, seccion, grupo, familia producto, subfamilia",
        "Italian": "categoria, reparto, gruppo merceologico, famiglia, settore",
        "Portuguese": "categoria, secao, familia produto, grupo produto, departamento",
        "Dutch": "categorie, artikelgroep, productgroep, afdeling, assortimentsgroep",
        "Polish": "kategoria, grupa, grupa towarowa, grupa asortymentowa, dzial, asortyment",
        "Turkish": "kategori, urun grubu, reyon, grup, mal grubu",
        "ERP": "matkl, spart, prodh, itmgrp",
    },
    "transaction_type": {
        "English": """
        transaction type, trans type, type, sale type, sales type, txn type, trx type, movement type, document type, doc
        type, return flag, is return, sale or return, record type, line type, ~operation, ~status, ~kind
        """,
        "German": """
        vorgangsart, belegart, transaktionsart, vorgang, buchungsart, bewegungsart, art, storno, retoure,
        retourenkennzeichen
        """,
        "French": "type operation, type de transaction, type transaction, type mouvement, type ticket, nature, sens",
        "Spanish": """
        tipo, tipo transaccion, tipo de transaccion, tipo movimiento, tipo operacion, tipo documento, devolucion
        """,
        "Italian": "tipo operazione, tipo transazione, tipo movimento, causale, reso",
        "Portuguese": "tipo transacao, tipo movimento, tipo de venda, tipo operacao",
        "Dutch": "transactietype, soort transactie, boekingssoort, soort",
        "Polish": "typ, typ transakcji, rodzaj, rodzaj transakcji, typ dokumentu, zwrot",
        "Turkish": "islem turu, islem tipi, fis tipi, hareket tipi, hareket turu",
        "ERP": "bwart, fkart, auart, vbtyp",
    },
}
"""Canonical field to language to names."""
