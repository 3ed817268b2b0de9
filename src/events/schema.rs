//! The columns that bellwether reads, and the names under which shops keep them.

use serde::Serialize;

/// One of our columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)] // the contract's table is their manual
pub enum Role {
    CustomerId,
    Ts,
    Event,
    Value,
    UnitPrice,
    Quantity,
    Product,
    Category,
    Channel,
    Device,
    Campaign,
    OrderId,
    EventId,
    ReceivedAt,
}

/// What the cells of a role are read as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Any text or number, kept as text.
    Text,
    /// A moment.
    Time,
    /// A number.
    Number,
}

/// Number of roles.
pub const N_ROLES: usize = Role::ALL.len();

impl Role {
    /// All roles, in the order in which they are printed and detected.
    pub const ALL: [Self; 14] = [
        Self::CustomerId,
        Self::Ts,
        Self::Event,
        Self::Value,
        Self::UnitPrice,
        Self::Quantity,
        Self::Product,
        Self::Category,
        Self::Channel,
        Self::Device,
        Self::Campaign,
        Self::OrderId,
        Self::EventId,
        Self::ReceivedAt,
    ];

    /// The name in `[events.columns]`.
    pub fn name(self) -> &'static str {
        match self {
            Self::CustomerId => "customer_id",
            Self::Ts => "ts",
            Self::Event => "event",
            Self::Value => "value",
            Self::UnitPrice => "unit_price",
            Self::Quantity => "quantity",
            Self::Product => "product",
            Self::Category => "category",
            Self::Channel => "channel",
            Self::Device => "device",
            Self::Campaign => "campaign",
            Self::OrderId => "order_id",
            Self::EventId => "event_id",
            Self::ReceivedAt => "received_at",
        }
    }

    /// The role of a name in `[events.columns]`.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What its cells are read as.
    pub fn kind(self) -> Kind {
        match self {
            Self::Ts | Self::ReceivedAt => Kind::Time,
            Self::Value | Self::UnitPrice | Self::Quantity => Kind::Number,
            _ => Kind::Text,
        }
    }

    /// In a message about a column of the wrong type.
    pub fn expected(self) -> &'static str {
        match self.kind() {
            Kind::Text => "text or a number",
            Kind::Time => "a time, a date, or text or numbers that tell one",
            Kind::Number => "a number",
        }
    }

    /// Names that shops use, [`normalised`], in tiers: a column of an earlier tier is a better match,
    /// two columns of one tier are equally good.
    pub fn synonyms(self) -> &'static [&'static [&'static str]] {
        match self {
            Self::CustomerId => &[
                &["customerid"],
                &[
                    "customer",
                    "custid",
                    "custcode",
                    "custno",
                    "customerno",
                    "customernumber",
                    "customercode",
                    "customerkey",
                    "customeruuid",
                    "customeruniqueid",
                    "client",
                    "clientid",
                    "userid",
                    "user",
                    "useruuid",
                    "member",
                    "memberid",
                    "visitorid",
                    "accountid",
                    "household",
                    "householdid",
                    "householdkey",
                    "shopperid",
                    "buyerid",
                    "contactid",
                    "personid",
                    "subscriberid",
                    "consumerid",
                    "playerid",
                    "profileid",
                    "guestid",
                    "kundennummer",
                    "kundenid",
                    "clienteid",
                    "idcliente",
                    "idclient",
                ],
                &["email", "emailaddress", "customeremail", "useremail"],
                &[
                    "card",
                    "cardid",
                    "cardno",
                    "cardnumber",
                    "loyaltyid",
                    "loyaltycard",
                    "loyaltycardid",
                    "cookieid",
                    "anonymousid",
                    "fullvisitorid",
                    "userpseudoid",
                ],
                &["uid", "cid", "phone", "phonenumber", "msisdn"],
            ],
            Self::Ts => &[
                &["ts"],
                &[
                    "timestamp",
                    "eventtime",
                    "eventtimestamp",
                    "eventts",
                    "eventdatetime",
                    "datetime",
                    "occurredat",
                    "happenedat",
                    "orderdatetime",
                    "ordertimestamp",
                    "ordertime",
                    "orderpurchasetimestamp",
                    "orderedat",
                    "purchasetimestamp",
                    "purchasetime",
                    "purchasedat",
                    "transactiontimestamp",
                    "transactiondatetime",
                    "transactiontime",
                    "zeitstempel",
                ],
                &[
                    "invoicedate",
                    "invoicedatetime",
                    "orderdate",
                    "purchasedate",
                    "transactiondate",
                    "transdate",
                    "trandate",
                    "eventdate",
                    "saledate",
                    "salesdate",
                    "bookingdate",
                    "paymentdate",
                    "visitdate",
                    "shopdate",
                    "bestelldatum",
                ],
                &["date", "datum", "fecha"],
                &["time", "day", "dt"],
                &["createdat", "created", "createddate", "createdtime", "creationdate"],
            ],
            Self::Event => &[
                &["event"],
                &[
                    "eventtype",
                    "eventname",
                    "action",
                    "actiontype",
                    "activity",
                    "activitytype",
                    "behavior",
                    "behaviour",
                    "behaviortype",
                    "behaviourtype",
                    "interaction",
                    "interactiontype",
                ],
                &["transactiontype", "txntype"],
            ],
            Self::Value => &[
                &["value"],
                &[
                    "amount",
                    "total",
                    "totalamount",
                    "totalprice",
                    "totalvalue",
                    "money",
                    "revenue",
                    "sales",
                    "totalsales",
                    "spend",
                    "spent",
                    "grossamount",
                    "netamount",
                    "transactionamount",
                    "transactionvalue",
                    "paymentamount",
                    "paymentvalue",
                    "orderamount",
                    "ordervalue",
                    "ordertotal",
                    "linetotal",
                    "lineamount",
                    "salesvalue",
                    "salesamount",
                    "saleamount",
                    "purchaseamount",
                    "purchasevalue",
                    "amountpaid",
                    "amountusd",
                    "amounteur",
                    "invoiceamount",
                    "invoicetotal",
                    "dollars",
                    "turnover",
                    "grandtotal",
                    "subtotal",
                    "umsatz",
                    "betrag",
                ],
            ],
            Self::UnitPrice => &[
                &["unitprice"],
                &[
                    "price",
                    "priceperunit",
                    "priceeach",
                    "itemprice",
                    "productprice",
                    "sellingprice",
                    "retailprice",
                    "unitpriceusd",
                    "preis",
                ],
            ],
            Self::Quantity => &[
                &["quantity"],
                &[
                    "qty",
                    "units",
                    "unitssold",
                    "quantityordered",
                    "quantitysold",
                    "orderquantity",
                    "orderqty",
                    "itemquantity",
                    "itemcount",
                    "pieces",
                    "numberofitems",
                    "nitems",
                    "menge",
                ],
            ],
            Self::Product => &[
                &["product"],
                &[
                    "productid",
                    "productcode",
                    "prodcode",
                    "productsku",
                    "sku",
                    "skuid",
                    "stockcode",
                    "itemid",
                    "itemcode",
                    "item",
                    "articleid",
                    "articleno",
                    "asin",
                    "goodsid",
                ],
                &["productname", "producttitle", "itemname", "coffeename", "articlename", "article"],
                &["description", "productdescription", "itemdescription"],
            ],
            Self::Category => &[
                &["category"],
                &[
                    "categoryname",
                    "categorycode",
                    "productcategory",
                    "productcategoryname",
                    "itemcategory",
                    "maincategory",
                ],
                &["categoryid", "productgroup", "productline", "producttype", "warengruppe"],
                &["department", "genre"],
            ],
            Self::Channel => &[
                &["channel"],
                &["channelname", "saleschannel", "orderchannel", "marketingchannel"],
                &["trafficsource", "utmsource"],
                &["source"],
                &["medium"],
            ],
            Self::Device => &[
                &["device"],
                &["devicetype", "devicecategory", "devicename"],
                &["platform"],
                &["os", "operatingsystem"],
            ],
            Self::Campaign => &[&["campaign"], &["campaignid", "campaigncode"], &["campaignname", "utmcampaign"]],
            Self::OrderId => &[
                &["orderid"],
                &[
                    "order",
                    "orderno",
                    "ordernumber",
                    "invoice",
                    "invoiceno",
                    "invoiceid",
                    "invoicenumber",
                    "transactionid",
                    "basketid",
                    "receiptid",
                    "receiptno",
                    "receiptnumber",
                    "ticketid",
                    "bookingid",
                    "billno",
                    "purchaseid",
                ],
                &["transaction", "transactionno", "txnid", "checkoutid"],
            ],
            Self::EventId => &[&["eventid"], &["eventuuid", "eventguid", "messageid"]],
            Self::ReceivedAt => &[
                &["receivedat"],
                &["receivedtime", "receiveddate", "ingestedat", "ingestiontime", "loadedat", "loadtime", "arrivedat"],
            ],
        }
    }
}

/// A name without case, blanks and punctuation: `Invoice Date` and `invoice_date` become `invoicedate`.
pub fn normalised(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// What a column holds, as far as its format tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CellType {
    /// Text, including every cell of CSV and NDJSON.
    Text,
    /// Whole numbers.
    Integer,
    /// Numbers.
    Decimal,
    /// True and false.
    Bool,
    /// Times and dates.
    Time,
    /// No value at all.
    Null,
    /// Lists, structures, bytes and the like.
    Other,
}

impl CellType {
    /// Whether such a column can be read as `kind`.
    pub fn can_be(self, kind: Kind) -> bool {
        match (kind, self) {
            (_, Self::Null) => true,
            (_, Self::Other) => false,
            (Kind::Text, _) => true,
            (Kind::Time, cell) => cell != Self::Bool,
            (Kind::Number, cell) => matches!(cell, Self::Text | Self::Integer | Self::Decimal | Self::Bool),
        }
    }
}

/// A column of a file, with some of its first cells.
#[derive(Debug, Clone)]
pub struct Column {
    /// As the file calls it.
    pub name: String,
    /// What it holds.
    pub cell_type: CellType,
    /// The type as the format calls it, for messages.
    pub type_name: String,
    /// Non-empty cells among the first rows, as text; times as microseconds.
    pub cells: Vec<String>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_synonym_stands_for_two_roles() {
        let mut seen = std::collections::BTreeMap::new();
        for role in Role::ALL {
            assert_eq!(Role::named(role.name()), Some(role));
            assert_eq!(role.synonyms()[0], [normalised(role.name())], "our own name comes first");
            for name in role.synonyms().iter().flat_map(|tier| tier.iter()) {
                assert_eq!(*name, normalised(name));
                assert_eq!(seen.insert(*name, role), None, "{name}");
            }
        }
    }

    #[test]
    fn names_lose_case_blanks_and_punctuation() {
        assert_eq!(normalised("Invoice Date"), "invoicedate");
        assert_eq!(normalised("CUST_CODE"), "custcode");
        assert_eq!(
            normalised("\u{41a}\u{43b}\u{438}\u{435}\u{43d}\u{442}-1"),
            "\u{43a}\u{43b}\u{438}\u{435}\u{43d}\u{442}1"
        );
    }
}
