//! Shops with known truth: customers arrive, buy and leave by laws whose parameters are written beside the data.
//!
//! ```text
//! out/events/part-00000.parquet …   a stretch of customers each, rows by time; what a shop would have
//! out/truth/truth.json              settings, laws, counts
//! out/truth/customers.parquet       what is true of each customer
//! ```
//!
//! A customer's life depends on the seed and their number alone (a ChaCha8 stream each), so the bytes are the
//! same at any number of threads. Blocks of customers are generated and written side by side, at most
//! [`BLOCKS_AT_ONCE`] at a time: memory grows with neither customers nor threads.

mod block;
mod calendar;
mod catalogue;
mod dice;
mod dirt;
mod error;
mod files;
mod life;
mod people;
mod settings;
mod truth;

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::StringArray;

use crate::time::Day;
use block::{Block, Counts};
use calendar::{Calendar, Campaign};
pub use error::SimulateError;
pub use settings::{Population, Simulation};
use truth::CustomersFile;

/// Blocks under way at any time, however many threads there are; with [`ROWS_PER_BLOCK`] it bounds the memory.
pub const BLOCKS_AT_ONCE: usize = 8;
/// Rows that a block should have.
const ROWS_PER_BLOCK: f64 = 300_000.0;

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Simulated {
    /// The folder.
    pub folder: PathBuf,
    /// Event rows, sound and dirty.
    pub events: u64,
    /// Dirty rows among them.
    pub dirty_events: u64,
    /// Orders, of any number of lines.
    pub orders: u64,
    /// People who registered.
    pub customers: u64,
    /// Event files, in order.
    pub files: Vec<PathBuf>,
    /// Day of the first sound event.
    pub first_day: Day,
    /// Day of the last sound event.
    pub last_day: Day,
}

/// Everything that the threads share.
struct World {
    settings: Simulation,
    calendar: Calendar,
    campaigns: Vec<Campaign>,
    labels: Labels,
}

/// Names behind the codes of rows.
struct Labels {
    events: Arc<StringArray>,
    products: Arc<StringArray>,
    categories: Arc<StringArray>,
    channels: Arc<StringArray>,
    devices: Arc<StringArray>,
    campaigns: Arc<StringArray>,
}

impl World {
    fn new(settings: Simulation) -> Self {
        use catalogue::{CATEGORIES, CHANNELS, DEVICES, EVENTS, PRODUCTS_PER_CATEGORY, SHOP_CATEGORIES, product_name};
        let calendar = Calendar::new(settings.start, settings.days, settings.seasonality);
        let campaigns = calendar::campaigns(settings.start, settings.days);
        let products = SHOP_CATEGORIES as u16 * PRODUCTS_PER_CATEGORY;
        let labels = Labels {
            events: Arc::new(StringArray::from_iter_values(EVENTS)),
            products: Arc::new(StringArray::from_iter_values((0..products).map(product_name))),
            categories: Arc::new(StringArray::from_iter_values(CATEGORIES.iter().map(|category| category.name))),
            channels: Arc::new(StringArray::from_iter_values(CHANNELS)),
            devices: Arc::new(StringArray::from_iter_values(DEVICES)),
            campaigns: Arc::new(StringArray::from_iter_values(campaigns.iter().map(|campaign| &campaign.name))),
        };
        Self { settings, calendar, campaigns, labels }
    }

    /// Customers of a block: by the settings alone, never by the machine.
    fn customers_per_block(&self) -> u32 {
        let people = &self.settings.population;
        let days = f64::from(self.settings.days);
        let observed = days * (1.0 - people.arrival_share / 2.0);
        let orders = people.buyer_share * (1.0 + (people.r / people.alpha).min(1.0) * observed / 2.0);
        let visits = (people.visit_rate + 0.3 * (people.r / people.alpha).min(1.0)).min(2.0) * observed;
        let mails = people.consent_share * (people.newsletter_share + people.offer_share / 4.0) * observed / 7.0;
        let plays = people.player_share * people.play_rate * observed.min(150.0) * 9.0;
        let rows = 3.0 + 8.0 * orders + 3.0 * visits + 2.0 * mails + plays;
        (ROWS_PER_BLOCK / rows / (1.0 + self.settings.dirty_share)).clamp(64.0, 65_536.0) as u32
    }
}

/// Makes up a shop and writes it to `out`, all or nothing: into a temporary folder beside it that takes its
/// place at the end. An earlier simulation there is replaced whole. `progress` gets the number of customers
/// done so far, from any thread, not always in ascending order.
///
/// # Errors
/// Settings out of range; `out` holds something that is no simulation; a file cannot be written.
/// What stood in `out` is then untouched.
pub fn simulate(
    settings: &Simulation,
    out: &Path,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Simulated, SimulateError> {
    settings.check()?;
    crate::storage::refuse_remote(out)?;
    let draft = files::Draft::new(files::check_target(out)?)?;
    let folder = draft.folder();
    let world = World::new(settings.clone());
    let per_block = world.customers_per_block();
    let n_blocks = settings.customers.div_ceil(u64::from(per_block)) as usize;
    let names: Vec<String> = (0..n_blocks).map(|block| format!("part-{block:05}.parquet")).collect();

    let customers_file = Mutex::new(CustomersFile::create(&folder)?);
    let counts = Mutex::new(Counts::default());
    let failure = Mutex::new(None);
    let (next, failed, done) = (AtomicUsize::new(0), AtomicBool::new(false), AtomicU64::new(0));
    let make = |block: usize| -> Result<(), SimulateError> {
        let first = block as u64 * u64::from(per_block);
        let customers = u64::from(per_block).min(settings.customers - first);
        let made = Block::simulate(&world, first, customers as u32);
        lock(&counts).add(&made.counts);
        let truth = truth::customers(&world, &made);
        files::write_block(&world, made, &folder.join("events").join(&names[block]))?;
        lock(&customers_file).add(block, truth)?;
        progress(done.fetch_add(customers, Ordering::Relaxed) + customers);
        Ok(())
    };
    let work = || {
        while !failed.load(Ordering::Relaxed) {
            let block = next.fetch_add(1, Ordering::Relaxed);
            if block >= n_blocks {
                return;
            }
            if let Err(error) = make(block) {
                failed.store(true, Ordering::Relaxed);
                lock(&failure).get_or_insert(error);
            }
        }
    };
    rayon::scope(|scope| {
        for _ in 0..rayon::current_num_threads().min(BLOCKS_AT_ONCE).min(n_blocks) {
            scope.spawn(|_| work());
        }
    });
    if let Some(error) = into_inner(failure) {
        return Err(error);
    }

    into_inner(customers_file).finish()?;
    let counts = into_inner(counts);
    // Everybody registers within the days, so there is a span; the fallback is the first day.
    let span =
        counts.span.map_or((settings.start, settings.start), |(first, last)| (Day::of_wall(first), Day::of_wall(last)));
    truth::write(&world, &folder, &counts, span, n_blocks)?;
    draft.publish()?;
    let folder = out.to_path_buf();
    Ok(Simulated {
        events: counts.rows,
        dirty_events: counts.rows - counts.sound_rows,
        orders: counts.orders,
        customers: counts.customers,
        files: names.iter().map(|name| folder.join("events").join(name)).collect(),
        first_day: span.0,
        last_day: span.1,
        folder,
    })
}

/// A thread that panics ends the whole simulation, so what it leaves locked is never read wrongly.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn into_inner<T>(mutex: Mutex<T>) -> T {
    mutex.into_inner().unwrap_or_else(PoisonError::into_inner)
}
