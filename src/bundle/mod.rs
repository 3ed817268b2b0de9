//! Bundles: a fit as files that describe themselves, appear whole or not at all, and are checked on loading.
//!
//! `models/<name>/<bundle_id>/` holds `manifest.json`, `parameters.json`, `report.json`, `CARD.md`,
//! `report.html`, `distributions.json` (the population of the fit, for drift) and `customers.bloom` (who was in it);
//! `models/<name>/current` names the one in use. The id is made from the parameters, so the
//! same inputs give the same id and the same bytes.

mod apply;
mod card;
mod contributions;
mod customers;
mod parameters;
mod reference;
mod rows;
mod scorer;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::config::Config;
use crate::error::{ExitCode, Explain, FileError};
use crate::events::ReadSummary;
use crate::features::Feature;
use crate::report::Report;
use crate::scores::drift::{self, Distributions};
use crate::split::Split;
use crate::storage::seal::{self, hash, json};
use crate::storage::{self, Workplace};
use crate::time::{Day, TimeError, Zone};

pub use apply::{ModelRows, offset_of};
pub use contributions::{Contributions, Detail, Scale};
pub use customers::CustomerFilter;
pub use parameters::{Cuts, ExpectedModel, FittedColumn, FittedTarget, Parameters, ProbabilityModel};
pub use reference::Reference;
pub use rows::TargetRows;
pub use scorer::{Listener, TargetScorer, Workbench};

/// Version of the files of a bundle. It rises when a release writes what an earlier one cannot read.
pub const FORMAT: u32 = 1;

/// The file beside bundles that names the one in use.
const CURRENT: &str = "current";

/// What `manifest.json` says first, so that a foreign file is told at once.
const KIND: &str = "bellwether bundle";

/// `manifest.json` of a bundle.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// Always "bellwether bundle".
    pub kind: String,
    /// [`FORMAT`] of the release that wrote it.
    pub format: u32,
    /// Version of that release.
    pub bellwether_version: String,
    /// Name and hash of the content.
    pub bundle_id: String,
    /// The first day that the fit did not see.
    pub as_of: Day,
    /// Settings, complete.
    pub config: Config,
    /// Every feature in the order of the catalogue.
    pub features: Vec<Feature>,
    /// Cut-offs of each target.
    pub splits: BTreeMap<String, Split>,
    /// Columns that the targets give, with their label sentences.
    pub columns: Vec<ColumnNote>,
    /// Customers in the training data.
    pub customers: u64,
    /// What became of every row that was read.
    pub data: ReadSummary,
    /// Warnings of the fit.
    pub warnings: Vec<String>,
    /// BLAKE3 of every other file of the bundle.
    pub files: BTreeMap<String, String>,
    /// BLAKE3 of this file up to here: the last line, so that a changed count or date is told, too.
    pub seal: String,
}

/// A score column and what its label says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ColumnNote {
    /// Column name.
    pub column: String,
    /// Label, as a sentence.
    pub label: String,
    /// Length of the label window in days.
    pub horizon_days: i32,
}

/// A bundle in memory.
#[derive(Debug)]
pub struct Bundle {
    /// What it is.
    pub manifest: Manifest,
    /// What scoring needs.
    pub parameters: Parameters,
    /// How it was judged.
    pub report: Report,
    /// The population of the fit at its `as_of`; `None` of a bundle of an earlier release.
    pub distributions: Option<Distributions>,
    /// Who was in the events of the fit; `None` of a bundle of an earlier release.
    pub customers: Option<CustomerFilter>,
}

/// A bundle that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing there.
    #[error("{}: no bundle", path.display())]
    Missing {
        /// Where.
        path: PathBuf,
    },
    /// A file cannot be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// `manifest.json` is not ours.
    #[error("{}: not a bellwether bundle", path.display())]
    Foreign {
        /// Which file.
        path: PathBuf,
    },
    /// Written by a newer release.
    #[error("{}: bundle format {found}, this release reads up to {FORMAT}", path.display())]
    Newer {
        /// Which file.
        path: PathBuf,
        /// Its format.
        found: u64,
    },
    /// `current` does not name a folder beside it.
    #[error("{}: names no bundle beside it, but {found:?}", path.display())]
    BadCurrent {
        /// Which file.
        path: PathBuf,
        /// What it says.
        found: String,
    },
    /// Every bundle of a folder has seen the day that it is to predict.
    #[error("{}: no bundle was fitted by {day}, the first to {oldest}", path.display())]
    NoneByThen {
        /// The folder.
        path: PathBuf,
        /// The day.
        day: Day,
        /// The day at which the oldest one ends.
        oldest: Day,
    },
    /// A file is not what the manifest says.
    #[error("{}: damaged: its hash is {found}, the manifest says {expected}", path.display())]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// Its hash.
        found: String,
        /// What it should be.
        expected: String,
    },
    /// Its time zone is not known on this machine.
    #[error("{}: the bundle was fitted in the time zone `{zone}`, which is not known on this machine", path.display())]
    NoZone {
        /// The manifest.
        path: PathBuf,
        /// The zone.
        zone: String,
    },
    /// A file cannot be understood, although its hash is right.
    #[error("{}: cannot be understood", path.display())]
    Unreadable {
        /// Which file.
        path: PathBuf,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl BundleError {
    /// The same, of other places.
    fn at(mut self, place: impl Fn(&Path) -> PathBuf) -> Self {
        match &mut self {
            Self::File(FileError { path, .. })
            | Self::Missing { path }
            | Self::Foreign { path }
            | Self::Newer { path, .. }
            | Self::BadCurrent { path, .. }
            | Self::NoneByThen { path, .. }
            | Self::Damaged { path, .. }
            | Self::NoZone { path, .. }
            | Self::Unreadable { path, .. } => *path = place(path),
        }
        self
    }
}

impl Explain for BundleError {
    fn exit_code(&self) -> ExitCode {
        ExitCode::BundleUnusable
    }

    fn details(&self) -> Vec<String> {
        vec!["Nothing was scored and nothing was written.".into()]
    }

    fn hints(&self) -> Vec<String> {
        match self {
            Self::Missing { .. } => {
                vec!["train one with `bellwether-train fit --events … --out models/NAME`, and name that folder".into()]
            }
            Self::BadCurrent { .. } => {
                vec!["write the name of a bundle's folder into it, or name that folder with `--bundle`".into()]
            }
            Self::NoneByThen { oldest, .. } => vec![
                format!("begin at {oldest}"),
                "or name one bundle, `--bundle models/NAME/ID`: it has seen what it is to predict, so that its scores \
                 prove nothing"
                    .into(),
            ],
            Self::File(error) if storage::remote::problem_of(&error.source).is_some() => error.hints(),
            Self::NoZone { zone, .. } => TimeError::BadZone { text: zone.clone() }.hints(),
            Self::Newer { .. } => vec!["install the release that wrote it, or a later one".into()],
            _ => vec!["copy the bundle again from where it was trained, or train it anew".into()],
        }
    }
}

/// The bundle that `current` names: one folder beside it, not a path to elsewhere.
fn named_by(current: &Path) -> Result<PathBuf, BundleError> {
    let bytes = std::fs::read(current).map_err(FileError::at("read", current))?;
    let text = String::from_utf8_lossy(&bytes);
    let id = text.trim();
    let is_name = !matches!(id, "" | "." | "..")
        && id.bytes().all(|c| c.is_ascii_alphanumeric() || matches!(c, b'-' | b'_' | b'.'));
    if is_name {
        Ok(current.with_file_name(id))
    } else {
        Err(BundleError::BadCurrent { path: current.into(), found: id.chars().take(80).collect() })
    }
}

impl Bundle {
    /// Fills in the id, the hashes and the pages, and writes the bundle below `folder` (`models/<name>`).
    ///
    /// # Errors
    /// A folder that cannot be written; what was there stays as it was.
    pub fn save(mut self, folder: &Path) -> Result<(Self, PathBuf), FileError> {
        let parameters = json(&self.parameters);
        self.manifest.kind = KIND.to_string();
        self.manifest.format = FORMAT;
        self.manifest.bellwether_version = env!("CARGO_PKG_VERSION").to_string();
        // What scoring depends on, and nothing else: events that the fit did not see must not change a byte of a
        // score file, which names the bundle.
        let mut content = blake3::Hasher::new();
        content.update(&parameters);
        content.update(&json(&self.manifest.config));
        let short = &content.finalize().to_hex()[..10];
        let id = format!("{}-{short}", self.manifest.as_of);
        self.manifest.bundle_id.clone_from(&id);
        self.report.bundle.clone_from(&id);

        let mut files: Vec<(&str, Vec<u8>)> = vec![
            ("parameters.json", parameters),
            ("report.json", json(&self.report)),
            ("report.html", self.report.to_html().into_bytes()),
            ("CARD.md", card::card(&self.manifest, &self.report).into_bytes()),
        ];
        files.extend(self.distributions.as_ref().map(|distributions| (drift::FILE, distributions.to_json())));
        files.extend(self.customers.as_ref().map(|filter| (customers::FILE, filter.to_bytes())));
        self.manifest.files = files.iter().map(|(name, bytes)| (name.to_string(), hash(bytes))).collect();
        let manifest = seal::sealed(&mut self.manifest, |manifest| &mut manifest.seal);
        std::fs::create_dir_all(folder).map_err(FileError::at("create the folder", folder))?;
        storage::recover(folder)?;
        let target = folder.join(&id);
        storage::replace_folder(&target, |temporary| {
            for (name, bytes) in &files {
                let path = temporary.join(name);
                std::fs::write(&path, bytes).map_err(FileError::at("write", &path))?;
            }
            let path = temporary.join("manifest.json");
            std::fs::write(&path, &manifest).map_err(FileError::at("write", &path))
        })?;
        storage::write_atomic(&folder.join(CURRENT), |file| {
            std::io::Write::write_all(file, format!("{id}\n").as_bytes())
        })?;
        Ok((self, target))
    }

    /// The folder of the bundle that was in use at `day`: of `models/<name>`, the newest one that saw nothing at or after
    /// `day`; `models/<name>/<bundle_id>` itself.
    ///
    /// # Errors
    /// No bundle; all of them are later; a folder that cannot be read.
    pub fn folder_at(folder: &Path, day: Day) -> Result<PathBuf, BundleError> {
        let place = Workplace::open(folder, |name| name == CURRENT || name.ends_with("/manifest.json"))?;
        let found = Self::folder_here_at(place.folder(), day);
        found.map(|found| place.address(&found)).map_err(|error| error.at(|path| place.address(path)))
    }

    fn folder_here_at(folder: &Path, day: Day) -> Result<PathBuf, BundleError> {
        let current = folder.join(CURRENT);
        if !current.is_file() {
            return Ok(folder.into()); // one bundle, or nothing: told on loading
        }
        let in_use = named_by(&current)?;
        let mut found: Vec<(Day, bool, PathBuf)> = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
            let path = entry.map_err(FileError::at("read the folder", folder))?.path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            // An id begins with the day at which its fit ends.
            if let Some(fitted_at) = name.get(..10).and_then(|date| date.parse().ok())
                && path.join("manifest.json").is_file()
            {
                found.push((fitted_at, path == in_use, path));
            }
        }
        found.sort();
        let Some(oldest) = found.first().map(|(oldest, ..)| *oldest) else {
            return Err(BundleError::Missing { path: folder.into() });
        };
        found.retain(|(fitted_at, ..)| *fitted_at <= day);
        let newest = found.pop().map(|(.., path)| path);
        newest.ok_or_else(|| BundleError::NoneByThen { path: folder.into(), day, oldest })
    }

    /// Loads `models/<name>` (the bundle that `current` names) or `models/<name>/<bundle_id>`, and checks all of it.
    ///
    /// # Errors
    /// Missing, foreign, newer or damaged, by name of the file.
    pub fn load(folder: &Path) -> Result<Self, BundleError> {
        // Of `models/<name>`, `current`; of one bundle, all of it.
        let mut place = Workplace::open(folder, |name| !name.contains('/') && !name.starts_with("rejects"))?;
        let current = place.folder().join(CURRENT);
        if place.is_remote() && current.is_file() {
            let in_use = named_by(&current).map_err(|error| error.at(|path| place.address(path)))?;
            let id = in_use.file_name().unwrap_or_default().to_string_lossy().into_owned();
            place.fetch(|name| name.split_once('/').is_some_and(|(folder, _)| folder == id))?;
        }
        Self::load_here(place.folder()).map_err(|error| error.at(|path| place.address(path)))
    }

    fn load_here(folder: &Path) -> Result<Self, BundleError> {
        let current = folder.join(CURRENT);
        let folder = if current.is_file() { named_by(&current)? } else { folder.to_path_buf() };
        let path = folder.join("manifest.json");
        if !path.is_file() {
            return Err(BundleError::Missing { path: folder });
        }
        let bytes = std::fs::read(&path).map_err(FileError::at("read", &path))?;
        let unreadable = |path: &Path| {
            let path = path.to_path_buf();
            move |source| BundleError::Unreadable { path, source }
        };
        let raw: serde_json::Value = serde_json::from_slice(&bytes).map_err(unreadable(&path))?;
        if raw.get("kind").and_then(serde_json::Value::as_str) != Some(KIND) {
            return Err(BundleError::Foreign { path });
        }
        let found = raw.get("format").and_then(serde_json::Value::as_u64).unwrap_or(0);
        if found > u64::from(FORMAT) {
            return Err(BundleError::Newer { path, found });
        }
        let manifest: Manifest = serde_json::from_value(raw).map_err(unreadable(&path))?;
        seal::check(&bytes, &manifest.seal).map_err(|seal::Broken { found, expected }| {
            let path = path.clone();
            BundleError::Damaged { path, found, expected }
        })?;
        if Zone::named(&manifest.config.timezone).is_err() {
            return Err(BundleError::NoZone { path, zone: manifest.config.timezone });
        }
        let mut contents = BTreeMap::new();
        for (name, expected) in &manifest.files {
            let path = folder.join(name);
            let bytes = std::fs::read(&path).map_err(FileError::at("read", &path))?;
            let found = hash(&bytes);
            if found != *expected {
                return Err(BundleError::Damaged { path, found, expected: expected.clone() });
            }
            contents.insert(name.as_str(), bytes);
        }
        let named = |name: &str| {
            contents.get(name).map(Vec::as_slice).ok_or_else(|| BundleError::Missing { path: folder.join(name) })
        };
        let parameters =
            serde_json::from_slice(named("parameters.json")?).map_err(unreadable(&folder.join("parameters.json")))?;
        let report = serde_json::from_slice(named("report.json")?).map_err(unreadable(&folder.join("report.json")))?;
        let distributions = contents
            .get(drift::FILE)
            .map(|bytes| serde_json::from_slice(bytes).map_err(unreadable(&folder.join(drift::FILE))))
            .transpose()?;
        let customers = contents.get(customers::FILE).and_then(|bytes| CustomerFilter::from_bytes(bytes));
        Ok(Self { manifest, parameters, report, distributions, customers })
    }

    /// BLAKE3 of the manifest, which holds the hashes of everything else.
    pub fn fingerprint(&self) -> String {
        hash(&json(&self.manifest))
    }
}
