/** Votes on two answers. They stay in this tab: chats of the console count in no verdict, so neither do votes on them. */

import type { Answer } from "./answers";

export type Choice = "left" | "right" | "same";

export interface Vote {
  at: string;
  namespace: string;
  name: string;
  prompt: string;
  choice: Choice;
  left: Side;
  right: Side;
}

interface Side {
  revision: number;
  text: string;
  ttft: number | null;
  tokens: number | null;
  tokensPerSecond: number | null;
}

/** The votes on two revisions, the newer one against the older one. */
export interface Tally {
  newer: number;
  older: number;
  newerBetter: number;
  olderBetter: number;
  same: number;
}

/** Votes that are kept of one LLMDeployment; of more the oldest go. */
export const MOST_VOTES = 1000;

export function addVote(votes: Vote[], vote: Vote): Vote[] {
  return [...votes, vote].slice(-MOST_VOTES);
}

export function describeSide(answer: Answer): Side {
  const { ttft = null, tokens = null, tokensPerSecond = null } = answer.end ?? {};
  return { revision: answer.revision, text: answer.text, ttft, tokens, tokensPerSecond };
}

/** The votes by pair of revisions, in the order in which the pairs were voted on first. */
export function countVotes(votes: Vote[]): Tally[] {
  const tallies = new Map<string, Tally>();
  for (const { left, right, choice } of votes) {
    const newer = Math.max(left.revision, right.revision);
    const older = Math.min(left.revision, right.revision);
    const key = `${newer}/${older}`;
    const tally = tallies.get(key) ?? { newer, older, newerBetter: 0, olderBetter: 0, same: 0 };
    tallies.set(key, tally);
    if (choice === "same") tally.same += 1;
    else if ((choice === "left" ? left : right).revision === newer) tally.newerBetter += 1;
    else tally.olderBetter += 1;
  }
  return [...tallies.values()];
}

/** The 97.5th percentile of the normal distribution. */
const Z = 1.959964;

/**
 * The 95 % interval of a share of `wins` in `total` by Wilson's score, which holds for few votes too. With p = wins / total and n = total:
 *
 *   (p + z² / 2n ± z √(p (1 − p) / n + z² / 4n²)) / (1 + z² / n)
 *
 * 8 of 10 are 80 %, between 49.0 % and 94.3 %. Of no votes it is everything from 0 to 1.
 */
export function findInterval(wins: number, total: number): [number, number] {
  if (total === 0) return [0, 1];
  const share = wins / total;
  const square = Z * Z;
  const half = Z * Math.sqrt((share * (1 - share)) / total + square / (4 * total * total));
  const scale = 1 + square / total;
  const middle = share + square / (2 * total);
  return [Math.max(0, (middle - half) / scale), Math.min(1, (middle + half) / scale)];
}

/** One JSON object a line. */
export function formatLines(votes: Vote[]): string {
  return votes.map((each) => `${JSON.stringify(each)}\n`).join("");
}

/** The pair in one of its two orders, by chance. */
export function shuffle(pair: [number, number]): [number, number] {
  const [bit = 0] = crypto.getRandomValues(new Uint8Array(1));
  return bit % 2 === 0 ? pair : [pair[1], pair[0]];
}
