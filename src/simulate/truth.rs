//! What is true of the shop: `truth/truth.json` and `truth/customers.parquet`.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, BooleanArray, Date32Array, Float64Array, ListBuilder, RecordBatch, StringArray, StringBuilder,
    UInt32Array,
};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use parquet::arrow::ArrowWriter;
use serde_json::{Value, json};

use super::World;
use super::block::{Block, Counts};
use super::calendar::{MONTH_FACTORS, WEEKDAY_FACTORS};
use super::catalogue::{CATEGORIES, SHOP_CATEGORIES, customer_name};
use super::dirt::DIRT;
use super::error::SimulateError;
use super::files;
use super::life::{POKER_WIN, SLOTS_PAYOUT, SLOTS_WIN};
use crate::error::FileError;
use crate::time::Day;

/// By this an earlier simulation is recognised.
pub(super) const MADE_BY: &str = "bellwether simulate";
/// Within the folder of a simulation.
pub(super) const TRUTH_FILE: &str = "truth/truth.json";
/// How many categories are called favourites.
const FAVOURITES: usize = 3;

fn customer_schema() -> SchemaRef {
    let item = Arc::new(Field::new("item", DataType::Utf8, true));
    Arc::new(Schema::new(vec![
        Field::new("customer_id", DataType::Utf8, false),
        Field::new("arrival_day", DataType::Date32, false),
        Field::new("buyer", DataType::Boolean, false),
        Field::new("first_order_time", DataType::Float64, true),
        Field::new("purchase_rate", DataType::Float64, true),
        Field::new("leave_chance", DataType::Float64, true),
        Field::new("leaving_day", DataType::Date32, true),
        Field::new("mean_spend", DataType::Float64, true),
        Field::new("favourite_categories", DataType::List(item), false),
        Field::new("favourite_shares", DataType::List(Arc::new(Field::new("item", DataType::Float64, true))), false),
        Field::new("uplift_group", DataType::Utf8, false),
        Field::new("mail_consent", DataType::Boolean, false),
        Field::new("open_chance", DataType::Float64, false),
        Field::new("player", DataType::Boolean, false),
        Field::new("orders", DataType::UInt32, false),
        Field::new("extra_orders", DataType::UInt32, false),
    ]))
}

/// One row for each customer of a block.
pub(super) fn customers(world: &World, block: &Block) -> RecordBatch {
    let told = &block.told;
    let start = world.calendar.start;
    let date = |day: u32| start.plus(day as i32).0;
    let of_buyers = |value: &dyn Fn(&super::life::Told) -> f64| -> ArrayRef {
        Arc::new(told.iter().map(|told| told.person.buyer.then(|| value(told))).collect::<Float64Array>())
    };
    let mut favourites = ListBuilder::new(StringBuilder::new());
    let mut shares = ListBuilder::new(arrow::array::Float64Builder::new());
    for told in told {
        let tastes = &told.person.tastes;
        let mut order: [usize; SHOP_CATEGORIES] = std::array::from_fn(|index| index);
        order.sort_by(|&a, &b| tastes[b].total_cmp(&tastes[a]));
        for &category in &order[..FAVOURITES] {
            favourites.values().append_value(CATEGORIES[category].name);
            shares.values().append_value(tastes[category]);
        }
        favourites.append(true);
        shares.append(true);
    }
    let flags = |flag: &dyn Fn(&super::life::Told) -> bool| -> ArrayRef {
        Arc::new(told.iter().map(|told| Some(flag(told))).collect::<BooleanArray>())
    };
    let names = (block.first..).take(told.len()).map(customer_name);
    let groups = told.iter().map(|told| if told.person.control { "control" } else { "treated" });
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(names)),
        Arc::new(Date32Array::from_iter_values(told.iter().map(|told| date(told.person.arrival_day())))),
        flags(&|told| told.person.buyer),
        Arc::new(told.iter().map(|told| told.person.first_order).collect::<Float64Array>()),
        of_buyers(&|told| told.person.rate),
        of_buyers(&|told| told.person.leave_chance),
        Arc::new(told.iter().map(|told| told.left.map(date)).collect::<Date32Array>()),
        of_buyers(&|told| told.person.mean_spend(world)),
        Arc::new(favourites.finish()),
        Arc::new(shares.finish()),
        Arc::new(StringArray::from_iter_values(groups)),
        flags(&|told| told.person.consent),
        Arc::new(Float64Array::from_iter_values(told.iter().map(|told| told.person.open_chance))),
        flags(&|told| told.person.player),
        Arc::new(UInt32Array::from_iter_values(told.iter().map(|told| told.orders))),
        Arc::new(UInt32Array::from_iter_values(told.iter().map(|told| told.extra_orders))),
    ];
    RecordBatch::try_new(customer_schema(), columns).expect("columns as in the schema")
}

/// `customers.parquet`, whose rows are in order of customers whatever block is ready first.
pub(super) struct CustomersFile {
    path: PathBuf,
    writer: ArrowWriter<BufWriter<File>>,
    next: usize,
    waiting: BTreeMap<usize, RecordBatch>,
}

impl CustomersFile {
    pub fn create(folder: &Path) -> Result<Self, SimulateError> {
        let path = folder.join("truth/customers.parquet");
        let writer = files::writer(&path, customer_schema(), files::truth_properties())?;
        Ok(Self { path, writer, next: 0, waiting: BTreeMap::new() })
    }

    /// Takes the customers of one block.
    pub fn add(&mut self, block: usize, customers: RecordBatch) -> Result<(), SimulateError> {
        self.waiting.insert(block, customers);
        while let Some(batch) = self.waiting.remove(&self.next) {
            self.writer.write(&batch).map_err(SimulateError::parquet(&self.path))?;
            self.next += 1;
        }
        Ok(())
    }

    pub fn finish(self) -> Result<(), SimulateError> {
        files::finish(self.writer, &self.path)
    }
}

/// Laws of the shop in words, each with the settings that it reads.
#[rustfmt::skip]
const FORMULAS: [(&str, &str); 19] = [
    ("arrival", "uniform over the first `arrival_share` of the days; `register` is the first event of everybody"),
    ("buyer", "with chance `buyer_share`; nobody else ever buys"),
    ("first_order", "while registering with chance `first_order_at_once`, else Exponential(mean `first_order_wait` days) after arrival"),
    ("orders", "BG/NBD (Fader, Hardie & Lee 2005): after the first order Poisson at rate lambda per business day, lambda ~ Gamma(shape `r`, rate `alpha`) over buyers; time runs from the first order"),
    ("leaving", "BG/NBD: after each repeat order (not the first) with chance p_leave ~ Beta(`a`, `b`), one draw a customer, independent of lambda"),
    ("order_days", "an order that would share its day with the one before is placed on the day after; the underlying process is not moved"),
    ("business_day", "a calendar day holds month_factor * weekday_factor business days; 1 without seasonality"),
    ("spend", "Gamma-Gamma (Fader & Hardie 2013): value of an order ~ Gamma(shape `p`, rate nu), nu ~ Gamma(shape `q`, rate `gamma`) over buyers, independent of orders; rounded to cents, at least one; split over 1 to 4 lines"),
    ("returns", "with chance `return_share` an order has one line sent back 3 to 20 days later, whole, at its negative value, under its order_id"),
    ("tastes", "shares of categories ~ Dirichlet(`taste_concentration` * category share); with seasonality times the category's weight of the month"),
    ("visits", "Poisson per business day, from the day after arrival; buyers: `visit_rate` * Gamma(0.8, 0.8) + 0.3 * lambda, at most 2, until Exponential(mean 10 days) after leaving; others: 0.03 * Gamma(0.8, 0.8) until Exponential(mean 40 days) after arrival"),
    ("research", "with chance `research_share` an order has a visit about its category 1 to 5 days before"),
    ("mails", "each Monday one campaign, every fourth an offer; people with consent (`consent_share`) get a newsletter with chance `newsletter_share`, an offer with chance `offer_share`"),
    ("control", "with chance `control_share`, for good and independent of all else: gets no offers"),
    ("opens", "with chance open_chance ~ Beta(`open_a`, `open_b`), a fifth of it after leaving; within 3 days; clicks in an opened mail with chance `click_share`"),
    ("uplift", "an opened offer makes a buyer who has ordered and not left place one extra order with chance `open_uplift` + (`click_uplift` if clicked), 1 to 7 days after opening, on the next day without an order; extra orders are on top of BG/NBD and nobody leaves after them; no row tells which orders they are"),
    ("play", "players (`player_share`): evenings Poisson at rate Exponential(mean `play_rate`) per business day until Exponential(mean 150 days) after arrival; stakes won and lost at the odds under `games`"),
    ("late", "with chance `late_share` a sound row is received 12 hours to 5 days after `ts`, else 1 to 30 seconds"),
    ("dirty", "with chance `dirty_share` a sound row is followed by a copy that is dirty in one of the ways under `dirt`, all equally likely; sound rows are the same with and without"),
];

/// Writes `truth.json`.
pub(super) fn write(
    world: &World,
    folder: &Path,
    counts: &Counts,
    span: (Day, Day),
    files: usize,
) -> Result<(), SimulateError> {
    let people = &world.settings.population;
    let formulas: serde_json::Map<String, Value> =
        FORMULAS.iter().map(|&(name, text)| (name.to_string(), text.into())).collect();
    let categories: Vec<Value> = CATEGORIES[..SHOP_CATEGORIES]
        .iter()
        .map(|category| json!({"name": category.name, "share": category.share, "month_weights": category.months}))
        .collect();
    let campaigns: Vec<Value> = if world.settings.campaigns {
        let start = world.calendar.start;
        let entry = |campaign: &super::calendar::Campaign| json!({"name": campaign.name, "day": start.plus(campaign.day as i32), "uplift": campaign.offer});
        world.campaigns.iter().map(entry).collect()
    } else {
        Vec::new()
    };
    let dirt: serde_json::Map<String, Value> =
        DIRT.iter().map(|&(name, text)| (name.to_string(), text.into())).collect();
    let truth = json!({
        "made_by": MADE_BY,
        "format": 1,
        "settings": world.settings,
        "first_day": span.0,
        "last_day": span.1,
        "event_files": files,
        "counts": counts.to_json(),
        "expected": {
            "share_never_buying": 1.0 - people.buyer_share,
            "mean_purchase_rate_per_day": people.r / people.alpha,
            "mean_leave_chance": people.a / (people.a + people.b),
            "mean_order_value": people.p * people.gamma / (people.q - 1.0),
            "extra_orders_per_offer_sent_to_an_active_buyer": extra_orders_per_offer(world),
        },
        "formulas": formulas,
        "season": if world.settings.seasonality {
            json!({"month_factors": MONTH_FACTORS, "weekday_factors_from_monday": WEEKDAY_FACTORS})
        } else {
            Value::Null
        },
        "categories": categories,
        "games": {
            "poker": {"win_chance": POKER_WIN, "stakes_won": 1},
            "slots": {"win_chance": SLOTS_WIN, "stakes_won": SLOTS_PAYOUT},
        },
        "campaigns": campaigns,
        "dirt": dirt,
    });
    let path = folder.join(TRUTH_FILE);
    let write = || -> std::io::Result<()> {
        let mut file = BufWriter::new(File::create(&path)?);
        serde_json::to_writer_pretty(&mut file, &truth)?;
        file.write_all(b"\n")?;
        file.into_inner().map_err(|error| error.into_error())?.sync_all()
    };
    write().map_err(FileError::at("write", &path))?;
    Ok(())
}

/// Mean number of orders that an uplift campaign adds for each mail to a buyer who has ordered and not left:
/// E[open] * (open_uplift + click_share * click_uplift); opening is independent of the rest.
fn extra_orders_per_offer(world: &World) -> f64 {
    let people = &world.settings.population;
    let open = people.open_a / (people.open_a + people.open_b);
    open * (people.open_uplift + people.click_share * people.click_uplift)
}
