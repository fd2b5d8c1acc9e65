/** Latency and load of the last hour, by revision. */

import { useCallback, useMemo } from "preact/hooks";
import type { Colors } from "../colors";
import type { Point, RolloutArm } from "../contract";
import { formatLatency, formatNumber } from "../format";
import { listRevisions, listTimes } from "../history";
import { Legend, Plot, describeAxis, describeTimeAxis } from "../plot";

const MOST_LINES = 4;

export function Latency({ points, arms }: { points: Point[]; arms: RolloutArm[] }) {
  const revisions = useMemo(() => listRevisions(points, MOST_LINES), [points]);
  const names = revisions.join(" ");
  const canaries = arms.map((each) => each.canary).filter((each) => each !== null).join(" ");
  const stables = arms.map((each) => each.stable).filter((each) => each !== null).join(" ");
  const kinds = useMemo(() => chooseKinds(names, stables, canaries), [names, stables, canaries]);
  return (
    <section class="card" aria-labelledby="latency-title">
      <h2 id="latency-title">Latency by revision</h2>
      {points.length > 1 && revisions.length > 0 ? (
        <LatencyPlot key={`${names}/${kinds.join()}`} points={points} revisions={revisions} kinds={kinds} />
      ) : (
        <p class="muted">No request has been measured in the last hour.</p>
      )}
    </section>
  );
}

/** How each revision is drawn: as stable, as canary, or as one of the others. */
export function chooseKinds(revisions: string, stables: string, canaries: string): string[] {
  const split = (text: string): string[] => text.split(" ").filter(Boolean);
  let others = 0;
  return split(revisions).map((each) => {
    if (split(canaries).includes(each)) return "canary";
    if (each === split(stables)[0]) return "stable";
    return `other-${(others++ % 3) + 1}`;
  });
}

function LatencyPlot({ points, revisions, kinds }: { points: Point[]; revisions: number[]; kinds: string[] }) {
  const data = useMemo(() => {
    const read = (revision: number, field: "ttftP50" | "ttftP90") =>
      points.map((each) => each.revisions[String(revision)]?.[field] ?? null);
    return [listTimes(points), ...revisions.flatMap((each) => [read(each, "ttftP90"), read(each, "ttftP50")])];
  }, [points, revisions]);
  const describe = useCallback((colors: Colors) => describePlot(colors, kinds), [kinds]);
  const last = points.at(-1)?.revisions ?? {};
  const said = revisions.map((each) => `r${each} ${formatLatency(last[String(each)]?.ttftP90)}`).join(", ");
  const legend = revisions.flatMap((each, index) => [
    { kind: `line ${kinds[index]}`, text: `r${each} TTFT p90` },
    { kind: `dashes ${kinds[index]}`, text: `r${each} TTFT p50` },
  ]);
  return (
    <>
      <p class="small">TTFT p90 now: {said}</p>
      <Plot label={`Time to first token of the last hour. p90 now: ${said}`} data={data as never} describe={describe} />
      <Legend items={legend} />
    </>
  );
}

function pickColor(colors: Colors, kind: string): string {
  if (kind === "canary") return colors.canary;
  if (kind === "stable") return colors.stable;
  return colors.others[Number(kind.slice(-1)) - 1] ?? colors.muted;
}

function describePlot(colors: Colors, kinds: string[]) {
  return {
    legend: { show: false },
    cursor: { show: true, y: false, drag: { x: false, y: false } },
    scales: { y: { range: (_: unknown, __: number, most: number): [number, number] => [0, (most || 1) * 1.1] } },
    axes: [
      describeTimeAxis(colors),
      describeAxis(colors, { size: 52, values: (_: unknown, ticks: number[]) => ticks.map((each) => `${formatNumber(each, 2)} s`) }),
    ],
    series: [
      {},
      ...kinds.flatMap((kind) => {
        const line = { stroke: pickColor(colors, kind), points: { show: false } };
        return [
          { ...line, width: 2 },
          { ...line, width: 1.5, dash: [4, 4] },
        ];
      }),
    ],
  };
}
