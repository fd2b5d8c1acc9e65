/** Bars of traffic: which revision gets how much. */

import type { ArmTraffic } from "./contract";
import { formatNumber } from "./format";

interface Part {
  key: string;
  label: string;
  title: string;
  percent: number;
  canary: boolean;
}

/** The revisions of all arms with their percent of all requests, in the order of the bar. */
export function splitTraffic(arms: ArmTraffic[]): Part[] {
  const named = arms.length > 1;
  return arms.flatMap((arm) => {
    const canary = arm.canary === null ? 0 : (arm.canaryWeight ?? 0);
    return [
      describePart(arm, arm.stable, (arm.weight * (100 - canary)) / 100, false, named),
      describePart(arm, arm.canary, (arm.weight * canary) / 100, true, named),
    ].filter((each) => each !== null);
  });
}

function describePart(
  arm: ArmTraffic,
  revision: number | null,
  percent: number,
  canary: boolean,
  named: boolean,
): Part | null {
  if (revision === null || percent <= 0) return null;
  const share = `${formatNumber(percent)} %`;
  const title = `${named ? `${arm.name}: ` : ""}r${revision}${canary ? " (canary)" : ""} ${share}`;
  return { key: `${arm.name}/${revision}`, label: `r${revision}`, title, percent, canary };
}

/** The traffic of some arms as a bar, and the same in words. */
export function TrafficBar({ arms }: { arms: ArmTraffic[] }) {
  const parts = splitTraffic(arms);
  if (parts.length === 0) return <span class="muted">no traffic</span>;
  return (
    <div class="traffic">
      <div class="bar" aria-hidden="true">
        {parts.map((part) => (
          <span key={part.key} class={part.canary ? "part canary" : "part"} style={{ flexGrow: String(part.percent) }} />
        ))}
      </div>
      <div class="bar-words">{parts.map((part) => part.title).join(" · ")}</div>
    </div>
  );
}
