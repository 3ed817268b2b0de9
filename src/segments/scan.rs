//! One streaming pass over a score partition: which customer is in which segments.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use arrow::array::{Array, RecordBatch, StringArray};
use arrow::buffer::BooleanBuffer;
use arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::DFSchema;
use datafusion::common::cast::{as_boolean_array, as_string_array};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::parquet::CachedParquetFileReaderFactory;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::error::DataFusionError;
use datafusion::execution::TaskContext;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::execution::runtime_env::RuntimeEnvBuilder;
use datafusion::logical_expr::{Expr, col};
use datafusion::object_store::path::Path as StorePath;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::projection::{ProjectionExec, ProjectionExpr};
use datafusion::prelude::{SessionConfig, SessionContext};
use futures::StreamExt;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use parquet::errors::ParquetError;

use super::criteria::Segments;
use super::error::SegmentsError;
use super::predicate::{self, columns_read};
use crate::error::FileError;
use crate::guard::guarded;
use crate::predicate::Planner;

/// Batches that a worker may be ahead of the writer.
const AHEAD: usize = 16;

/// Footers kept in memory, so that each is read once and not once a row group. Larger ones are read again.
const FOOTER_CACHE_BYTES: usize = 1 << 30;

/// The Parquet files of a score partition.
pub(super) struct Parts {
    folder: PathBuf,
    /// Each with the offsets at which its row groups begin.
    files: Vec<(PathBuf, Vec<i64>)>,
    /// Of all files.
    rows: u64,
    /// Columns of every file.
    pub(super) schema: SchemaRef,
}

impl Parts {
    /// Lists `part-*.parquet` by name and reads the footers.
    pub(super) fn open(folder: &Path) -> Result<Self, SegmentsError> {
        let unusable = |path: &Path, problem: String| SegmentsError::Unusable { path: path.into(), problem };
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).map_err(FileError::at("read the folder", folder))? {
            let entry = entry.map_err(FileError::at("read the folder", folder))?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with("part-") && name.ends_with(".parquet") {
                files.push((entry.path(), Vec::new()));
            }
        }
        files.sort();
        let (mut schema, mut rows): (Option<SchemaRef>, u64) = (None, 0);
        for (path, groups) in &mut files {
            let damaged = |source| SegmentsError::Damaged { path: path.clone(), source };
            let file = File::open(&*path).map_err(FileError::at("read", &*path))?;
            let footer = guarded(|| ParquetRecordBatchReaderBuilder::try_new(file), ParquetError::General);
            let footer = footer.map_err(|error| damaged(Box::new(error)))?;
            for group in footer.metadata().row_groups() {
                rows += group.num_rows() as u64;
                if let Some(first) = group.columns().first() {
                    groups.push(first.dictionary_page_offset().unwrap_or(first.data_page_offset()));
                }
            }
            let columns = footer.schema();
            match &schema {
                None => schema = Some(Arc::clone(columns)),
                Some(first) if first.fields() == columns.fields() => {}
                Some(_) => return Err(unusable(path, "has files with different columns".into())),
            }
        }
        let schema = schema.ok_or_else(|| unusable(folder, "has no file `part-*.parquet`".into()))?;
        match schema.field_with_name("customer_id").map(|field| field.data_type()) {
            Ok(DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View) => {}
            Ok(other) => return Err(unusable(folder, format!("has `customer_id` of type {other}, not text"))),
            Err(_) => return Err(unusable(folder, "has no column `customer_id`".into())),
        }
        Ok(Self { folder: folder.into(), files, rows, schema })
    }
}

/// Consecutive customers and the segments of each.
pub(super) struct Chunk {
    /// In the order of the partition.
    pub(super) ids: StringArray,
    ends: Vec<u32>,
    segments: Vec<u16>,
}

impl Chunk {
    /// Positions in `segments.toml` of the segments that the customer at `row` is in, ascending.
    pub(super) fn of(&self, row: usize) -> &[u16] {
        let start = if row == 0 { 0 } else { self.ends[row - 1] };
        &self.segments[start as usize..self.ends[row] as usize]
    }
}

/// One projection over all row groups: `SELECT customer_id, (p1) AS s0, (p2) AS s1, …`.
pub(super) struct Scan {
    parts: Parts,
    planner: Planner,
    expressions: Vec<Option<Expr>>,
    segments: Segments,
    plan: Arc<dyn ExecutionPlan>,
    task: Arc<TaskContext>,
}

impl Scan {
    /// Plans every predicate; nothing but footers is read yet.
    pub(super) fn new(segments: &Segments, parts: Parts) -> Result<Self, SegmentsError> {
        let planner = predicate::planner(&parts.schema)?;
        let planned = segments.list().iter().map(|segment| predicate::plan(&planner, &parts.schema, segment));
        let expressions: Vec<Option<Expr>> = planned.collect::<Result<_, _>>()?;
        let columns = columns_read(&parts.schema, &expressions);
        let (plan, task) = plan(&parts, &planner, columns, &expressions).map_err(fault)?;
        Ok(Self { parts, planner, expressions, segments: segments.clone(), plan, task })
    }

    /// Hands every chunk to `take`, in the order of the files, whatever the number of threads.
    ///
    /// Worker `t` of `T` evaluates the row groups `t`, `t + T`, … and may be [`AHEAD`] batches ahead, so memory
    /// is bounded: for each thread the needed columns of one row group as stored, one decoded batch of them, and
    /// 16 batches of 8192 ids with their memberships.
    ///
    /// # Errors
    /// The first in the order of the files, of a worker or of `take`.
    pub(super) fn run(
        &self,
        threads: usize,
        mut take: impl FnMut(&Chunk) -> Result<(), SegmentsError>,
    ) -> Result<(), SegmentsError> {
        let groups = self.plan.properties().output_partitioning().partition_count();
        let workers = threads.clamp(1, groups.max(1));
        let mut rows = 0;
        std::thread::scope(|scope| -> Result<(), SegmentsError> {
            let receivers: Vec<Receiver<Option<Result<Chunk, SegmentsError>>>> = (0..workers)
                .map(|worker| {
                    let (sender, receiver) = sync_channel(AHEAD);
                    scope.spawn(move || self.work((worker..groups).step_by(workers), &sender));
                    receiver
                })
                .collect();
            for group in 0..groups {
                // A worker that ended early has panicked; the scope passes that on.
                while let Ok(Some(chunk)) = receivers[group % workers].recv() {
                    let chunk = chunk?;
                    rows += chunk.ids.len() as u64;
                    take(&chunk)?;
                }
            }
            Ok(())
        })?;
        if rows != self.parts.rows {
            let message = format!("{rows} of {} rows were read", self.parts.rows);
            return Err(fault(DataFusionError::Internal(message)));
        }
        Ok(())
    }

    /// Sends the chunks of each group and `None` after each; stops when nobody listens any more.
    fn work(&self, groups: impl Iterator<Item = usize>, to: &SyncSender<Option<Result<Chunk, SegmentsError>>>) {
        for group in groups {
            let mut listening = true;
            let take = |batch| {
                let chunk = self.chunk(&batch);
                listening = to.send(Some(chunk)).is_ok();
                listening
            };
            let ended = drive(&self.plan, &self.task, group, take);
            if let Err(error) = ended {
                listening = to.send(Some(Err(self.explain(error, group)))).is_ok();
            }
            if !listening || to.send(None).is_err() {
                return;
            }
        }
    }

    fn chunk(&self, batch: &RecordBatch) -> Result<Chunk, SegmentsError> {
        let ids = as_string_array(batch.column(0)).map_err(fault)?.clone();
        if ids.null_count() > 0 {
            let problem = "has rows without a `customer_id`".into();
            return Err(SegmentsError::Unusable { path: self.parts.folder.clone(), problem });
        }
        let mut members: Vec<(u16, BooleanBuffer)> = Vec::with_capacity(self.expressions.len());
        let mut column = 1;
        for (position, expression) in self.expressions.iter().enumerate() {
            if expression.is_some() {
                let values = as_boolean_array(batch.column(column)).map_err(fault)?;
                column += 1;
                // Null is not true.
                let is_member = match values.nulls() {
                    Some(valid) => values.values() & valid.inner(),
                    None => values.values().clone(),
                };
                members.push((position as u16, is_member));
            }
        }
        let otherwise = self.segments.otherwise().map(|position| position as u16);
        let mut chunk = Chunk { ends: Vec::with_capacity(ids.len()), segments: Vec::with_capacity(ids.len()), ids };
        for row in 0..chunk.ids.len() {
            let before = chunk.segments.len();
            chunk
                .segments
                .extend(members.iter().filter(|(_, is_member)| is_member.value(row)).map(|(position, _)| *position));
            if chunk.segments.len() == before {
                chunk.segments.extend(otherwise);
            }
            chunk.ends.push(chunk.segments.len() as u32);
        }
        Ok(chunk)
    }

    /// Finds out what failed in a row group: reading it, or which predicate, by running them one by one.
    fn explain(&self, error: DataFusionError, group: usize) -> SegmentsError {
        let ends = |columns: Vec<usize>, expressions: &[Option<Expr>]| {
            plan(&self.parts, &self.planner, columns, expressions)
                .and_then(|(plan, task)| drive(&plan, &task, group, |_| true))
        };
        if let Err(source) = ends(columns_read(&self.parts.schema, &self.expressions), &[]) {
            return SegmentsError::Damaged { path: self.parts.folder.clone(), source: Box::new(source) };
        }
        for (segment, expression) in self.segments.list().iter().zip(&self.expressions) {
            let (Some(_), Some(predicate)) = (expression, segment.predicate()) else { continue };
            let alone = std::slice::from_ref(expression);
            if let Err(source) = ends(columns_read(&self.parts.schema, alone), alone) {
                return SegmentsError::Evaluation {
                    segment: segment.name.clone(),
                    predicate: predicate.to_string(),
                    source: Box::new(source),
                };
            }
        }
        fault(error)
    }
}

fn fault(error: DataFusionError) -> SegmentsError {
    SegmentsError::Fault(Box::new(error))
}

/// Runs one partition of a plan on a single-threaded runtime of its own, until it ends or `take` returns false.
fn drive(
    plan: &Arc<dyn ExecutionPlan>,
    task: &Arc<TaskContext>,
    partition: usize,
    take: impl FnMut(RecordBatch) -> bool,
) -> Result<(), DataFusionError> {
    let damaged = |why| DataFusionError::ParquetError(Box::new(ParquetError::General(why)));
    guarded(|| stream(plan, task, partition, take), damaged)
}

fn stream(
    plan: &Arc<dyn ExecutionPlan>,
    task: &Arc<TaskContext>,
    partition: usize,
    mut take: impl FnMut(RecordBatch) -> bool,
) -> Result<(), DataFusionError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().map_err(DataFusionError::IoError)?;
    runtime.block_on(async {
        let mut batches = plan.execute(partition, Arc::clone(task))?;
        while let Some(batch) = batches.next().await {
            if !take(batch?) {
                break;
            }
        }
        Ok(())
    })
}

/// A projection over a scan of some columns, one partition for each row group in the order of the files.
fn plan(
    parts: &Parts,
    planner: &Planner,
    columns: Vec<usize>,
    expressions: &[Option<Expr>],
) -> Result<(Arc<dyn ExecutionPlan>, Arc<TaskContext>), DataFusionError> {
    let runtime = RuntimeEnvBuilder::new().with_metadata_cache_limit(FOOTER_CACHE_BYTES).build_arc()?;
    let mut config = SessionConfig::new().with_target_partitions(1);
    // Partitions are run one by one, each by its own thread; none may take over the files of another.
    config.options_mut().execution.enable_file_stream_work_stealing = false;
    let task = SessionContext::new_with_config_rt(config, Arc::clone(&runtime)).task_ctx();

    let mut row_groups = Vec::new();
    for (path, groups) in &parts.files {
        let path = std::path::absolute(path)?;
        let mut file = PartitionedFile::new("", std::fs::metadata(&path)?.len());
        file.object_meta.location = StorePath::from_absolute_path(&path)?;
        for &start in groups {
            // A row group belongs to the range in which its first page begins.
            row_groups.push(FileGroup::new(vec![file.clone().with_range(start, start + 1)]));
        }
    }
    let url = ObjectStoreUrl::local_filesystem();
    let reader = CachedParquetFileReaderFactory::new(
        runtime.object_store(&url)?,
        runtime.cache_manager.get_file_metadata_cache(),
    );
    let source = ParquetSource::new(Arc::clone(&parts.schema)).with_parquet_file_reader_factory(Arc::new(reader));
    let read = Schema::new(columns.iter().map(|&column| parts.schema.field(column).clone()).collect::<Vec<_>>());
    let scan = FileScanConfigBuilder::new(url, Arc::new(source))
        .with_file_groups(row_groups)
        .with_projection_indices(Some(columns))?
        .with_preserve_order(true)
        .build();

    let read = DFSchema::try_from(read)?;
    let id = datafusion::logical_expr::cast(col("customer_id"), DataType::Utf8);
    let mut projection = vec![ProjectionExpr { expr: planner.physical(id, &read)?, alias: "customer_id".into() }];
    for (position, expression) in expressions.iter().enumerate() {
        if let Some(expression) = expression {
            let expr = planner.physical(expression.clone(), &read)?;
            projection.push(ProjectionExpr { expr, alias: format!("s{position}") });
        }
    }
    Ok((Arc::new(ProjectionExec::try_new(projection, DataSourceExec::from_data_source(scan))?), task))
}
