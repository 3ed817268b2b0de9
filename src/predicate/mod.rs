//! Predicates: from SQL text to a checked expression over the columns at hand, a pure function of its row.

mod problem;

use std::ops::ControlFlow;
use std::sync::Arc;

use arrow::array::{RecordBatch, new_null_array};
use arrow::datatypes::{DataType, Schema};
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::common::{DFSchema, SchemaError};
use datafusion::error::DataFusionError;
use datafusion::execution::context::{SessionContext, SessionState};
use datafusion::execution::runtime_env::RuntimeEnv;
use datafusion::logical_expr::simplify::SimplifyContext;
use datafusion::logical_expr::{Expr, ExprSchemable, Operator, Volatility};
use datafusion::optimizer::simplify_expressions::ExprSimplifier;
use datafusion::physical_expr::PhysicalExpr;
use datafusion::prelude::SessionConfig;
use datafusion::sql::sqlparser::ast;
use datafusion::sql::sqlparser::ast::Visit;

use crate::config::nearest;

pub use problem::PredicateProblem;
pub(crate) use problem::show;

/// Operators within operators, and terms of one AND or OR. Planning and evaluation go as deep as a predicate does.
const MAX_DEPTH: usize = 200;

/// Characters of a predicate. With the stack below, enough for the depth of any text of this length.
const MAX_LENGTH: usize = 65_536;

/// Parsing and planning recurse; a caller's stack may be small. Only touched pages of it are ever used.
const STACK_BYTES: usize = 64 << 20;

/// Known to give other answers on other days or in other runs, whether or not this build of the engine has them.
const IMPURE_FUNCTIONS: [&str; 14] = [
    "random",
    "rand",
    "uuid",
    "gen_random_uuid",
    "now",
    "today",
    "current_date",
    "current_time",
    "current_timestamp",
    "localtime",
    "localtimestamp",
    "getdate",
    "sysdate",
    "current_user",
];

/// Turns predicates into expressions over one schema.
pub(crate) struct Planner {
    state: SessionState,
    schema: DFSchema,
    /// One row to try predicates on: kinds of values that a function cannot take are found out only by running it.
    nulls: RecordBatch,
}

impl Planner {
    pub(crate) fn new(columns: &Schema) -> Result<Self, DataFusionError> {
        let schema = DFSchema::try_from(columns.clone())?;
        let nullable: Vec<_> =
            columns.fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
        let values = nullable.iter().map(|field| new_null_array(field.data_type(), 1)).collect();
        let nulls = RecordBatch::try_new(Arc::new(Schema::new(nullable)), values)?;
        let state = SessionContext::new_with_config_rt(SessionConfig::new(), Arc::new(RuntimeEnv::default())).state();
        Ok(Self { state, schema, nulls })
    }

    /// The checked expression of a predicate.
    ///
    /// # Errors
    /// Outside, a fault of ours; inside, what is wrong with the predicate.
    pub(crate) fn plan(&self, predicate: &str) -> Result<Result<Expr, PredicateProblem>, DataFusionError> {
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().stack_size(STACK_BYTES);
            let thread = builder.spawn_scoped(scope, || self.expression(predicate))?;
            Ok(thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        })
    }

    /// Ready to run over batches that have the columns of `schema`.
    pub(crate) fn physical(
        &self,
        expression: Expr,
        schema: &DFSchema,
    ) -> Result<Arc<dyn PhysicalExpr>, DataFusionError> {
        let context = SimplifyContext::builder()
            .with_schema(Arc::new(schema.clone()))
            .with_config_options(Arc::clone(self.state.config_options()))
            .build();
        let simplifier = ExprSimplifier::new(context);
        // Simplification is more than speed: `coalesce` and its like exist only until then.
        let expression = simplifier.simplify(simplifier.coerce(expression, schema)?)?;
        self.state.create_physical_expr(expression, schema)
    }

    fn expression(&self, predicate: &str) -> Result<Expr, PredicateProblem> {
        if predicate.len() > MAX_LENGTH {
            return Err(PredicateProblem::TooLarge { rule: "characters", limit: MAX_LENGTH });
        }
        let dialect = self.state.config().options().sql_parser.dialect;
        let parsed =
            self.state.sql_to_expr_with_alias(predicate, &dialect).map_err(|error| syntax(&error, predicate))?;
        if let Some(alias) = parsed.alias {
            let message = format!("Expected: one predicate, found: the name {alias}");
            return Err(PredicateProblem::Syntax { message, at: None });
        }
        if let ControlFlow::Break(problem) = parsed.expr.visit(&mut Purity { state: &self.state, depth: 0 }) {
            return Err(problem);
        }
        let expression = self
            .state
            .create_logical_expr_from_sql_expr(parsed, &self.schema)
            .map_err(|error| self.problem(&error, predicate))?;
        is_pure(&expression)?;
        self.is_comparable(&expression)?;
        let found = expression.get_type(&self.schema).map_err(|error| self.problem(&error, predicate))?;
        if found != DataType::Boolean {
            let found = if found == DataType::Null { "always null".to_string() } else { format!("of type {found}") };
            return Err(PredicateProblem::NotBoolean { found });
        }
        self.physical(expression.clone(), &self.schema)
            .and_then(|physical| physical.evaluate(&self.nulls))
            .map_err(|error| self.problem(&error, predicate))?;
        Ok(expression)
    }

    /// Refuses comparisons between kinds of values: the engine would convert the text of every row to a number,
    /// which fails on the first that is none, and take a number for a day since 1970.
    fn is_comparable(&self, expression: &Expr) -> Result<(), PredicateProblem> {
        let mut fault = None;
        let walked = expression.apply(|part| {
            let pairs: Vec<[&Expr; 2]> = match part {
                Expr::BinaryExpr(pair) if is_comparison(pair.op) => vec![[&pair.left, &pair.right]],
                Expr::Between(between) => vec![[&between.expr, &between.low], [&between.expr, &between.high]],
                Expr::InList(list) => list.list.iter().map(|item| [&*list.expr, item]).collect(),
                _ => Vec::new(),
            };
            for [left, right] in pairs {
                if let (Some(left_kind), Some(right_kind)) = (self.kind(left)?, self.kind(right)?)
                    && left_kind != right_kind
                {
                    let (left, right) = (left.human_display(), right.human_display());
                    let message = format!("`{left}` is {left_kind} and `{right}` is {right_kind}");
                    fault = Some(PredicateProblem::Unfit { message });
                    return Ok(TreeNodeRecursion::Stop);
                }
            }
            Ok(TreeNodeRecursion::Continue)
        });
        match (walked, fault) {
            (_, Some(problem)) => Err(problem),
            (Err(error), None) => Err(PredicateProblem::Unfit { message: first_line(&error) }),
            (Ok(_), None) => Ok(()),
        }
    }

    /// What sort of value an expression has; `None` where the engine may choose, as for text written out.
    fn kind(&self, expression: &Expr) -> Result<Option<&'static str>, DataFusionError> {
        let data_type = expression.get_type(&self.schema)?;
        Ok(match data_type {
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => {
                (!matches!(expression, Expr::Literal(..))).then_some("text")
            }
            DataType::Boolean => Some("true or false"),
            DataType::Date32 | DataType::Date64 | DataType::Timestamp(..) => Some("a date"),
            _ if data_type.is_numeric() => Some("a number"),
            _ => None,
        })
    }

    fn problem(&self, error: &DataFusionError, predicate: &str) -> PredicateProblem {
        let DataFusionError::SchemaError(cause, _) = error.find_root() else {
            return PredicateProblem::Unfit { message: first_line(error) };
        };
        let SchemaError::FieldNotFound { field, .. } = &**cause else {
            return PredicateProblem::Unfit { message: first_line(error) };
        };
        let column = field.name.clone();
        let names = || self.schema.fields().iter().map(|field| field.name().as_str());
        PredicateProblem::UnknownColumn {
            nearest: nearest(&column.to_lowercase(), names()),
            needs_features: false,
            is_quoted: predicate.contains(&format!("\"{column}\"")),
            column,
        }
    }
}

fn is_comparison(operator: Operator) -> bool {
    use Operator::{Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq};
    matches!(operator, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom)
}

/// Refuses, by name, what SQL offers beyond functions of one row.
struct Purity<'a> {
    state: &'a SessionState,
    depth: usize,
}

impl ast::Visitor for Purity<'_> {
    type Break = PredicateProblem;

    fn pre_visit_query(&mut self, _: &ast::Query) -> ControlFlow<PredicateProblem> {
        impure("a subquery".into())
    }

    fn pre_visit_value(&mut self, value: &ast::ValueWithSpan) -> ControlFlow<PredicateProblem> {
        match &value.value {
            ast::Value::Placeholder(name) => impure(format!("the placeholder `{name}`")),
            _ => ControlFlow::Continue(()),
        }
    }

    fn post_visit_expr(&mut self, _: &ast::Expr) -> ControlFlow<PredicateProblem> {
        self.depth -= 1;
        ControlFlow::Continue(())
    }

    fn pre_visit_expr(&mut self, expression: &ast::Expr) -> ControlFlow<PredicateProblem> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return ControlFlow::Break(PredicateProblem::TooLarge { rule: "terms or levels", limit: MAX_DEPTH });
        }
        let ast::Expr::Function(function) = expression else { return ControlFlow::Continue(()) };
        let name = function.name.to_string().to_lowercase();
        if function.over.is_some() || self.state.window_functions().contains_key(&name) {
            return impure(format!("the window function `{name}`"));
        }
        if self.state.aggregate_functions().contains_key(&name) {
            return impure(format!("the aggregate function `{name}`"));
        }
        match self.state.scalar_functions().get(&name) {
            Some(known) if known.signature().volatility == Volatility::Immutable => ControlFlow::Continue(()),
            Some(_) => impure(format!("the function `{name}`, which depends on more than the row,")),
            None if IMPURE_FUNCTIONS.contains(&name.as_str()) => {
                impure(format!("the function `{name}`, which depends on more than the row,"))
            }
            None => {
                ControlFlow::Break(PredicateProblem::UnknownFunction { function: name, known: self.known_functions() })
            }
        }
    }
}

impl Purity<'_> {
    fn known_functions(&self) -> Vec<String> {
        let is_usable = |name: &&String| {
            self.state.scalar_functions()[*name].signature().volatility == Volatility::Immutable
                && name.bytes().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == b'_')
        };
        let mut known: Vec<String> =
            self.state.scalar_functions().keys().filter(is_usable).map(|name| format!("`{name}`")).collect();
        known.sort();
        known
    }
}

fn impure(what: String) -> ControlFlow<PredicateProblem> {
    ControlFlow::Break(PredicateProblem::NotPure { what })
}

/// The same once more on the planned expression: what is not in this list of pure parts is refused.
fn is_pure(expression: &Expr) -> Result<(), PredicateProblem> {
    let mut fault = None;
    let walked = expression.apply(|part| {
        let pure = match part {
            Expr::ScalarFunction(function) => function.func.signature().volatility == Volatility::Immutable,
            Expr::Column(_)
            | Expr::Literal(..)
            | Expr::BinaryExpr(_)
            | Expr::Like(_)
            | Expr::SimilarTo(_)
            | Expr::Not(_)
            | Expr::IsNotNull(_)
            | Expr::IsNull(_)
            | Expr::IsTrue(_)
            | Expr::IsFalse(_)
            | Expr::IsUnknown(_)
            | Expr::IsNotTrue(_)
            | Expr::IsNotFalse(_)
            | Expr::IsNotUnknown(_)
            | Expr::Negative(_)
            | Expr::Between(_)
            | Expr::Case(_)
            | Expr::Cast(_)
            | Expr::TryCast(_)
            | Expr::InList(_) => true,
            _ => false,
        };
        if pure {
            return Ok(TreeNodeRecursion::Continue);
        }
        fault = Some(PredicateProblem::NotPure { what: format!("`{part}`") });
        Ok(TreeNodeRecursion::Stop)
    });
    match (walked, fault) {
        (_, Some(problem)) => Err(problem),
        (Err(error), None) => Err(PredicateProblem::Unfit { message: first_line(&error) }),
        (Ok(_), None) => Ok(()),
    }
}

/// Splits the parser's message into what is wrong and where.
fn syntax(error: &DataFusionError, predicate: &str) -> PredicateProblem {
    let message = match error.find_root() {
        DataFusionError::SQL(cause, _) => cause.to_string(),
        other => first_line(other),
    };
    let message = message.trim_start_matches("sql parser error: ").to_string();
    let (words, place) = match message.rsplit_once(" at Line: ") {
        Some((words, place)) => (words.to_string(), place.split_once(", Column: ")),
        None => (message.clone(), None),
    };
    let at = place.and_then(|(line, column)| Some((line.trim().parse().ok()?, column.trim().parse().ok()?)));
    // The end of the text has no place of its own.
    let at = at.or_else(|| {
        let last = predicate.lines().last().filter(|_| words.ends_with("found: EOF"))?;
        Some((predicate.lines().count(), last.chars().count() + 1))
    });
    PredicateProblem::Syntax { message: words, at }
}

fn first_line(error: &DataFusionError) -> String {
    let text = error.strip_backtrace();
    let text = text.lines().next().unwrap_or_default();
    let text = text.strip_prefix("Error during planning: ").unwrap_or(text);
    text.strip_prefix("Arrow error: ").unwrap_or(text).to_string()
}
