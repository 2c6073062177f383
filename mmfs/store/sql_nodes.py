"""What a query may be made of. Whatever is not on these lists is refused, whether known to be harmful or not."""

from __future__ import annotations

from sqlglot import exp

_CLAUSES = (
    *(exp.Select, exp.Subquery, exp.Union, exp.Except, exp.Intersect, exp.With, exp.CTE),
    *(exp.From, exp.Join, exp.Where, exp.Group, exp.Having, exp.Order, exp.Ordered, exp.Limit, exp.Offset),
    *(exp.Distinct, exp.Table, exp.TableAlias, exp.Alias, exp.Column, exp.Identifier, exp.Star),
    *(exp.Window, exp.WindowSpec, exp.Filter, exp.WithinGroup, exp.Tuple, exp.Rollup, exp.Cube, exp.GroupingSets),
)
_OPERATORS = (
    *(exp.And, exp.Or, exp.Not, exp.Paren, exp.Neg),
    *(exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.NullSafeEQ, exp.NullSafeNEQ),
    *(exp.Is, exp.In, exp.Between, exp.Like, exp.ILike, exp.Escape, exp.Exists, exp.RegexpLike),
    *(exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.DPipe),
    *(exp.Literal, exp.Boolean, exp.Null, exp.Case, exp.If, exp.Cast, exp.DataType),
)
_AGGREGATES = (
    *(exp.Count, exp.Sum, exp.Avg, exp.Min, exp.Max, exp.Median, exp.Corr, exp.ApproxDistinct),
    *(exp.PercentileCont, exp.Stddev, exp.StddevPop, exp.StddevSamp, exp.Variance, exp.VariancePop),
    *(exp.ArrayAgg, exp.GroupConcat, exp.LogicalAnd, exp.LogicalOr),
    *(exp.RowNumber, exp.Rank, exp.DenseRank, exp.Ntile, exp.Lag, exp.Lead, exp.FirstValue, exp.LastValue),
)
_SCALARS = (
    *(exp.Abs, exp.Ceil, exp.Exp, exp.Floor, exp.Ln, exp.Log, exp.Pow, exp.Round, exp.Sqrt),
    *(exp.Trunc, exp.TimestampTrunc, exp.Extract, exp.Var),
    *(exp.Coalesce, exp.Greatest, exp.Least, exp.Nullif),
    *(
        exp.Concat,
        exp.Left,
        exp.Length,
        exp.Lower,
        exp.Replace,
        exp.Right,
        exp.SplitPart,
        exp.StartsWith,
        exp.EndsWith,
        exp.Contains,
    ),
    *(exp.StrPosition, exp.Substring, exp.Trim, exp.Upper),
    exp.Anonymous,  # only those of FUNCTION_NAMES
)
#: Kinds of node of the parsed tree.
ADMITTED: frozenset[type[exp.Expr]] = frozenset({*_CLAUSES, *_OPERATORS, *_AGGREGATES, *_SCALARS})

#: Functions of the engine that the parser knows by name only.
FUNCTION_NAMES = frozenset(
    {"approx_median", "approx_percentile_cont", "character_length", "nanvl"}
    | {"to_timestamp_micros", "to_timestamp_seconds", "bit_count", "levenshtein"}
)
