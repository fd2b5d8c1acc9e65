/** Autoscaling of the last hour: replicas, and each decision with its reason as a dot and in a list. */

import { useCallback, useMemo, useState } from "preact/hooks";
import type uPlot from "uplot";
import type { Colors } from "../colors";
import type { Point, ScalingDecision } from "../contract";
import { formatAgo, formatCount } from "../format";
import { findNearest, listTimes } from "../history";
import { Legend, Plot, describeAxis, describeTimeAxis } from "../plot";

/** A dot is meant when the pointer is that near, in pixels. */
const NEAR_PIXELS = 14;

const LEGEND = [
  { kind: "line stable", text: "ready" },
  { kind: "dashes ink", text: "desired" },
  { kind: "dot", text: "decision: point at it, or read the list" },
];

export function Scaling({ points, decisions, now }: { points: Point[]; decisions: ScalingDecision[]; now: number }) {
  const [hovered, setHovered] = useState<ScalingDecision | null>(null);
  const latest = points.at(-1)?.replicas;
  return (
    <section class="card" aria-labelledby="scaling-title">
      <h2 id="scaling-title">Replicas and autoscaling</h2>
      {points.length > 1 && (
        <>
          <p class="small">
            {latest?.ready ?? "–"} ready of {latest?.desired ?? "–"} desired
          </p>
          <ScalingPlot points={points} decisions={decisions} onHover={setHovered} />
          <Legend items={LEGEND} />
        </>
      )}
      <p class="hovered small" aria-hidden="true">
        {hovered !== null && describeDecision(hovered)}
      </p>
      {decisions.length === 0 ? (
        <p class="muted">No decision has changed the number of replicas.</p>
      ) : (
        <ol class="list" aria-label="Decisions, newest first" tabIndex={0}>
          {[...decisions].reverse().map((each) => (
            <li key={`${each.at}/${each.runtime}`} class={each === hovered ? "marked" : ""}>
              <span class="muted">{formatAgo(each.at, now)}</span> {describeDecision(each)}
            </li>
          ))}
        </ol>
      )}
    </section>
  );
}

function describeDecision(decision: ScalingDecision): string {
  return `${decision.from} → ${formatCount(decision.to, "replica")} (${decision.reason}): ${decision.message}`;
}

interface ScalingPlotProps {
  points: Point[];
  decisions: ScalingDecision[];
  onHover: (decision: ScalingDecision | null) => void;
}

function ScalingPlot({ points, decisions, onHover }: ScalingPlotProps) {
  const placed = useMemo(() => placeDecisions(points, decisions), [points, decisions]);
  const data = useMemo(
    () => [
      listTimes(points),
      points.map((each) => each.replicas.ready),
      points.map((each) => each.replicas.desired),
      points.map((point, index) => (placed.has(index) ? point.replicas.desired : null)),
    ],
    [points, placed],
  );
  // The plot lives longer than one list of decisions, so it asks this object for the newest.
  const [newest] = useState({ placed, onHover });
  newest.placed = placed;
  newest.onHover = onHover;
  const describe = useCallback(
    (colors: Colors) => describePlot(colors, (plot) => newest.onHover(findHovered(plot, newest.placed))),
    [newest],
  );
  const last = points.at(-1)?.replicas;
  const label = `Replicas of the last hour, now ${last?.ready ?? "unknown"} ready of ${last?.desired ?? "unknown"}`;
  return <Plot label={label} data={data as never} describe={describe} height={170} />;
}

/** The decisions that fall into the time of the points, by the index of the nearest point. */
export function placeDecisions(points: Point[], decisions: ScalingDecision[]): Map<number, ScalingDecision> {
  const times = listTimes(points);
  const placed = new Map<number, ScalingDecision>();
  for (const decision of decisions) {
    const at = Date.parse(decision.at) / 1000;
    const index = at >= (times[0] ?? Number.POSITIVE_INFINITY) - 5 ? findNearest(times, at) : null;
    if (index !== null) placed.set(index, decision);
  }
  return placed;
}

function findHovered(plot: uPlot, placed: Map<number, ScalingDecision>): ScalingDecision | null {
  const left = plot.cursor.left ?? -1;
  if (left < 0) return null;
  let best: ScalingDecision | null = null;
  let nearest = NEAR_PIXELS;
  for (const [index, decision] of placed) {
    const distance = Math.abs(plot.valToPos(plot.data[0][index] ?? 0, "x") - left);
    if (distance <= nearest) {
      nearest = distance;
      best = decision;
    }
  }
  return best;
}

function describePlot(colors: Colors, onCursor: (plot: uPlot) => void) {
  return {
    legend: { show: false },
    cursor: { show: true, y: false, drag: { x: false, y: false }, points: { show: false } },
    hooks: { setCursor: [onCursor] },
    scales: { y: { range: (_: unknown, __: number, most: number): [number, number] => [0, Math.max(2, most + 1)] } },
    axes: [
      describeTimeAxis(colors),
      describeAxis(colors, { size: 36, incrs: [1, 2, 5, 10, 20, 50, 100] }),
    ],
    series: [
      {},
      { stroke: colors.stable, width: 2, points: { show: false } },
      { stroke: colors.ink, width: 1.5, dash: [4, 4], points: { show: false } },
      { stroke: colors.canary, width: 0, points: { show: true, size: 10, fill: colors.canary }, paths: () => null },
    ],
  };
}
