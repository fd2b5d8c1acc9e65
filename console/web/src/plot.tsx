/** A plot by uPlot that follows its data, the width of its place and the colours of the page. */

import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { type Colors, readColors } from "./colors";
import { useDark } from "./hooks";

export interface PlotProps {
  /** What the plot shows, in words, for those who do not see it. */
  label: string;
  data: uPlot.AlignedData;
  height?: number;
  /** Makes the options. It must be the same function while the series are the same; `key` of the component makes a new plot. */
  describe: (colors: Colors) => Omit<uPlot.Options, "width" | "height">;
}

const SMALLEST_WIDTH = 120;

export function Plot({ label, data, describe, height = 200 }: PlotProps) {
  const place = useRef<HTMLDivElement>(null);
  const plot = useRef<uPlot | null>(null);
  const latest = useRef(data);
  latest.current = data;
  const dark = useDark();
  useEffect(() => {
    const target = place.current;
    if (target === null) return;
    const measure = (): number => Math.max(SMALLEST_WIDTH, target.clientWidth);
    plot.current = new uPlot({ ...describe(readColors()), width: measure(), height }, latest.current, target);
    const observer = new ResizeObserver(() => {
      if (plot.current?.width !== measure()) plot.current?.setSize({ width: measure(), height });
    });
    observer.observe(target);
    return () => {
      observer.disconnect();
      plot.current?.destroy();
      plot.current = null;
    };
  }, [dark, describe, height]);
  useEffect(() => plot.current?.setData(data), [data]);
  return <div class="plot" role="img" aria-label={label} ref={place} />;
}

/** An axis with the colours of the page. */
export function describeAxis(colors: Colors, options: uPlot.Axis = {}): uPlot.Axis {
  const line = { stroke: colors.grid, width: 1 };
  return { stroke: colors.muted, grid: line, ticks: line, font: "12px system-ui, sans-serif", ...options };
}

const CLOCK = new Intl.DateTimeFormat("en", { hour: "2-digit", minute: "2-digit", hourCycle: "h23" });

const DAY = new Intl.DateTimeFormat("en", { day: "numeric", month: "short" });

/** A time where the reader is: hours and minutes, and the day at midnight. */
export function formatTick(seconds: number): string {
  const clock = CLOCK.format(seconds * 1000);
  return clock === "00:00" ? DAY.format(seconds * 1000) : clock;
}

/** The axis of time. */
export function describeTimeAxis(colors: Colors): uPlot.Axis {
  return describeAxis(colors, { values: (_, ticks) => ticks.map(formatTick), space: 60, size: 30 });
}

/** A legend below a plot: a sample of each line with its name. */
export function Legend({ items }: { items: { kind: string; text: string }[] }) {
  return (
    <ul class="legend">
      {items.map((each) => (
        <li key={each.text}>
          <span class={`sample ${each.kind}`} aria-hidden="true" /> {each.text}
        </li>
      ))}
    </ul>
  );
}
