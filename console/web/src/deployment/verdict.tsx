/** The verdict as a picture: the difference between canary and stable revision with its interval, which narrows with each request. */

import { useCallback, useMemo, useRef } from "preact/hooks";
import type { Analysis, Metric, Point } from "../contract";
import { formatCount, formatNumber, formatPoints, formatShare } from "../format";
import { limitVerdict, traceVerdict } from "../history";
import type { Colors } from "../colors";
import { Legend, Plot, describeAxis } from "../plot";

const LEGEND = [
  { kind: "line canary", text: "difference, canary minus stable" },
  { kind: "band", text: "its interval" },
  { kind: "line zero", text: "no difference" },
  { kind: "dashes", text: "tolerance" },
];

export function Verdict({ analysis, points }: { analysis: Analysis[]; points: Point[] }) {
  if (analysis.length === 0) return null;
  return (
    <section class="card wide" aria-labelledby="verdict-title">
      <h2 id="verdict-title">Verdict</h2>
      <p class="muted">
        The canary fails when the whole band lies above the tolerance, and passes when it lies below. In percentage
        points, by requests of the canary.
      </p>
      {analysis.map((each) => (
        <ArmVerdict key={each.arm} analysis={each} points={points} named={analysis.length > 1} />
      ))}
      <Legend items={LEGEND} />
    </section>
  );
}

function ArmVerdict({ analysis, points, named }: { analysis: Analysis; points: Point[]; named: boolean }) {
  const { users } = analysis;
  return (
    <div class="arm">
      <h3>
        {named && `Arm ${analysis.arm}: `}
        {readResult(analysis.result)}
      </h3>
      <p>
        {analysis.message}{" "}
        {users !== null && `${formatCount(users.canary, "user")} of the canary, ${formatNumber(users.stable)} of the stable.`}
      </p>
      <div class="plots">
        {analysis.metrics.map((metric) => (
          <MetricPlot key={metric.name} metric={metric} points={points} />
        ))}
      </div>
    </div>
  );
}

const RESULTS: Record<string, string> = {
  NeedMoreData: "Needs more requests",
  Pass: "Passes",
  Fail: "Fails",
};

/** A result of the analysis in words; one that is not known stays as it is. */
function readResult(result: string): string {
  return RESULTS[result] ?? result;
}

function MetricPlot({ metric, points }: { metric: Metric; points: Point[] }) {
  const series = useMemo(() => traceVerdict(points, metric.name), [points, metric.name]);
  const data = useMemo(
    () => [series.requests, series.high, series.low, series.zero, series.tolerance, series.difference],
    [series],
  );
  // The plot lives longer than one series, so it asks for the newest when it draws.
  const newest = useRef(series);
  newest.current = series;
  const describe = useCallback((colors: Colors) => describePlot(colors, () => limitVerdict(newest.current)), []);
  const said = describeMetric(metric);
  return (
    <figure class="metric">
      <figcaption>
        <b>{metric.name}</b> {said}
      </figcaption>
      {series.requests.length > 1 ? (
        <Plot label={`Verdict on ${metric.name}: ${said}`} data={data as never} describe={describe} />
      ) : (
        <p class="muted nothing">The picture begins with the second count of requests.</p>
      )}
      <p class="muted small">
        Canary {formatRatio(metric.canary)}, stable {formatRatio(metric.stable)}
      </p>
    </figure>
  );
}

/** A metric in one sentence: where its interval lies. */
export function describeMetric(metric: Metric): string {
  const { low, high, tolerance } = metric;
  const limit = `tolerance ${formatPoints(tolerance)}`;
  if (low === null || high === null) return `is not known yet; ${limit}`;
  const between = `${formatPoints(metric.difference)} points, between ${formatPoints(low)} and ${formatPoints(high)}`;
  if (low > tolerance) return `${between}: worse than the ${limit}`;
  if (high <= tolerance) return `${between}: within the ${limit}`;
  return `${between}: not decided; ${limit}`;
}

function formatRatio(count: { total: number; bad: number }): string {
  const share = count.total > 0 ? count.bad / count.total : null;
  return `${formatShare(share)} (${formatNumber(count.bad, 0)} of ${formatNumber(count.total, 0)})`;
}

const AXIS_LABEL = { size: 30, labelSize: 18, labelGap: -2, labelFont: "12px system-ui, sans-serif" };

function describePlot(colors: Colors, range: () => [number, number]) {
  const plain = { points: { show: false }, spanGaps: true };
  return {
    legend: { show: false },
    cursor: { show: true, y: false, drag: { x: false, y: false } },
    scales: { x: { time: false }, y: { range } },
    axes: [
      describeAxis(colors, { ...AXIS_LABEL, label: "requests of the canary" }),
      describeAxis(colors, { size: 44, values: (_: unknown, ticks: number[]) => ticks.map((each) => formatNumber(each)) }),
    ],
    bands: [{ series: [1, 2] as [number, number], fill: colors.band }],
    series: [
      {},
      { ...plain, stroke: colors.canary, width: 1 },
      { ...plain, stroke: colors.canary, width: 1 },
      { ...plain, stroke: colors.ink, width: 1 },
      { ...plain, stroke: colors.bad, width: 1.5, dash: [6, 4] },
      { ...plain, stroke: colors.canary, width: 2.5 },
    ],
  };
}
