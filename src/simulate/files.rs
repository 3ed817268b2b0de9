//! Rows to Parquet, and the folder as a whole to its place.

use std::fs::{self, File};
use std::io::{self, BufWriter};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{
    ArrayRef, DictionaryArray, Float64Array, Int32Array, RecordBatch, StringArray, StringBuilder,
    TimestampMicrosecondArray,
};
use arrow::datatypes::{DataType, Field, Int32Type, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_writer::ArrowWriterOptions;
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::properties::{WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;

use super::World;
use super::block::Block;
use super::catalogue::{NONE, NONE_LONG, NONE_WIDE};
use super::error::SimulateError;
use super::truth::{MADE_BY, TRUTH_FILE};
use crate::error::FileError;

/// Columns of the event files, as any reader sees them: strings, whatever the pages hold.
pub(super) fn event_schema(event_ids: bool) -> SchemaRef {
    let label = || DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
    let time = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("customer_id", label(), true),
        Field::new("ts", time(), false),
        Field::new("event", label(), false),
        Field::new("value", DataType::Float64, true),
        Field::new("quantity", DataType::Float64, true),
        Field::new("product", label(), true),
        Field::new("category", label(), true),
        Field::new("channel", label(), true),
        Field::new("device", label(), true),
        Field::new("campaign", label(), true),
        Field::new("order_id", label(), true),
    ];
    if event_ids {
        fields.push(Field::new("event_id", DataType::Utf8, false));
    }
    fields.push(Field::new("received_at", time(), false));
    Arc::new(Schema::new(fields))
}

fn properties() -> WriterPropertiesBuilder {
    WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_max_row_group_row_count(Some(1 << 20))
}

/// A Parquet writer without the Arrow schema in the file, so that dictionary columns read back as plain strings.
pub(super) fn writer(
    path: &Path,
    schema: SchemaRef,
    properties: WriterProperties,
) -> Result<ArrowWriter<BufWriter<File>>, SimulateError> {
    let file = File::create(path).map_err(FileError::at("create the file", path))?;
    let options = ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true);
    ArrowWriter::try_new_with_options(BufWriter::new(file), schema, options).map_err(SimulateError::parquet(path))
}

/// Ends a file and has it on the disk before its folder is renamed.
pub(super) fn finish(writer: ArrowWriter<BufWriter<File>>, path: &Path) -> Result<(), SimulateError> {
    let buffered = writer.into_inner().map_err(SimulateError::parquet(path))?;
    let file = buffered.into_inner().map_err(|error| FileError::at("write", path)(error.into_error()))?;
    file.sync_all().map_err(FileError::at("write", path))?;
    Ok(())
}

/// Properties of `truth/customers.parquet`.
pub(super) fn truth_properties() -> WriterProperties {
    properties().set_max_row_group_row_count(Some(1 << 17)).build()
}

/// Properties of the event files: times ascend, so their differences are what is small; values and event ids
/// hardly repeat, so a dictionary would be built in vain.
fn event_properties() -> WriterProperties {
    let mut properties = properties();
    for column in ["ts", "received_at"] {
        let column = ColumnPath::from(column);
        properties = properties
            .set_column_dictionary_enabled(column.clone(), false)
            .set_column_encoding(column, Encoding::DELTA_BINARY_PACKED);
    }
    for column in ["value", "event_id"] {
        properties = properties.set_column_dictionary_enabled(ColumnPath::from(column), false);
    }
    properties.build()
}

/// Writes a block as one file.
pub(super) fn write_block(world: &World, mut block: Block, path: &Path) -> Result<(), SimulateError> {
    let names = Arc::new(block.names.finish());
    let orders = Arc::new(block.orders.finish());
    let event_ids = world.settings.has_event_ids();
    let schema = event_schema(event_ids);
    let mut writer = writer(path, schema.clone(), event_properties())?;
    // In slices, so that the columns of a slice stay in the cache and take no memory to speak of.
    for rows in block.rows.chunks(1 << 14) {
        let label = |values: &Arc<StringArray>, key: &dyn Fn(&super::catalogue::Row) -> Option<u32>| -> ArrayRef {
            let keys: Int32Array = rows.iter().map(|row| key(row).map(|key| key as i32)).collect();
            let values: ArrayRef = values.clone();
            // The keys were made from these very values.
            Arc::new(DictionaryArray::<Int32Type>::try_new(keys, values).expect("keys within the dictionary"))
        };
        let short = |code: u8| (code != NONE).then_some(u32::from(code));
        let wide = |code: u16| (code != NONE_WIDE).then_some(u32::from(code));
        let long = |code: u32| (code != NONE_LONG).then_some(code);
        let times =
            |values: Vec<i64>| -> ArrayRef { Arc::new(TimestampMicrosecondArray::from(values).with_timezone("UTC")) };
        let labels = &world.labels;
        let quantity = |row: &super::catalogue::Row| (row.quantity > 0).then_some(f64::from(row.quantity));
        let mut columns: Vec<ArrayRef> = vec![
            label(&names, &|row| long(row.customer)),
            times(rows.iter().map(|row| row.time).collect()),
            label(&labels.events, &|row| Some(row.event as u32)),
            Arc::new(rows.iter().map(|row| row.value).collect::<Float64Array>()),
            Arc::new(rows.iter().map(quantity).collect::<Float64Array>()),
            label(&labels.products, &|row| wide(row.product)),
            label(&labels.categories, &|row| short(row.category)),
            label(&labels.channels, &|row| short(row.channel)),
            label(&labels.devices, &|row| short(row.device)),
            label(&labels.campaigns, &|row| wide(row.campaign)),
            label(&orders, &|row| long(row.order)),
        ];
        if event_ids {
            let mut ids = StringBuilder::new();
            for row in rows {
                use std::fmt::Write;
                // Writing into a builder cannot fail; `append_value` ends the string.
                let _ = write!(ids, "e{:08}-{}", block.first + u64::from(row.owner), row.sequence);
                ids.append_value("");
            }
            columns.push(Arc::new(ids.finish()));
        }
        columns.push(times(rows.iter().map(|row| row.received).collect()));
        let batch = RecordBatch::try_new(schema.clone(), columns).expect("columns as in the schema");
        writer.write(&batch).map_err(SimulateError::parquet(path))?;
    }
    finish(writer, path)
}

/// Where the folder will be: an empty or absent folder, or an earlier simulation.
///
/// # Errors
/// Something else stands there.
pub(super) fn check_target(out: &Path) -> Result<PathBuf, SimulateError> {
    let out = match fs::canonicalize(out) {
        Ok(path) => path,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return match out.file_name() {
                Some(_) => Ok(out.to_path_buf()),
                None => Err(SimulateError::NotAFolder { path: out.to_path_buf() }),
            };
        }
        Err(error) => return Err(FileError::at("look at the folder", out)(error).into()),
    };
    if !out.is_dir() || out.file_name().is_none() {
        return Err(SimulateError::NotAFolder { path: out });
    }
    if is_simulation(&out) {
        return Ok(out);
    }
    let mut names = Vec::new();
    for entry in fs::read_dir(&out).map_err(FileError::at("list the folder", &out))? {
        names.push(entry.map_err(FileError::at("list the folder", &out))?.file_name().to_string_lossy().into_owned());
    }
    names.sort();
    match names.into_iter().next() {
        Some(found) => Err(SimulateError::NotASimulation { path: out, found }),
        None => Ok(out),
    }
}

/// Whether `truth/truth.json` says that a simulation made this folder.
fn is_simulation(folder: &Path) -> bool {
    let Ok(text) = fs::read_to_string(folder.join(TRUTH_FILE)) else { return false };
    let Ok(truth) = serde_json::from_str::<serde_json::Value>(&text) else { return false };
    truth.get("made_by").and_then(serde_json::Value::as_str) == Some(MADE_BY)
}

/// A folder under way, beside its place; removed unless published.
pub(super) struct Draft {
    temporary: tempfile::TempDir,
    out: PathBuf,
}

impl Draft {
    /// Makes the parent folder where it is missing, and a temporary folder in it.
    pub fn new(out: PathBuf) -> Result<Self, SimulateError> {
        let parent = match out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        fs::create_dir_all(parent).map_err(FileError::at("create the folder", parent))?;
        let temporary = tempfile::Builder::new()
            .prefix(".simulate-")
            .tempdir_in(parent)
            .map_err(FileError::at("create a temporary folder in", parent))?;
        let draft = Self { temporary, out };
        for folder in [draft.folder(), draft.folder().join("events"), draft.folder().join("truth")] {
            fs::create_dir(&folder).map_err(FileError::at("create the folder", &folder))?;
        }
        Ok(draft)
    }

    /// Where the files go until then. A folder within the temporary one, whose own rights are narrow.
    pub fn folder(&self) -> PathBuf {
        self.temporary.path().join("new")
    }

    /// Puts the folder in its place. What stood there comes back when that fails.
    pub fn publish(self) -> Result<(), SimulateError> {
        let former = self.temporary.path().join("former");
        let moved = match fs::rename(&self.out, &former) {
            Ok(()) => true,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(FileError::at("replace the folder", &self.out)(error).into()),
        };
        if let Err(error) = fs::rename(self.folder(), &self.out) {
            if moved {
                fs::rename(&former, &self.out).map_err(FileError::at("put back the folder", &self.out))?;
            }
            return Err(FileError::at("create the folder", &self.out)(error).into());
        }
        Ok(())
    }
}
