// @ts-check
/** Why the video is not at its best, as a line to read. */

/** @type {Record<string, string>} by `quality_why` of `stats` */
const REASONS = {
  asked: "Lower because a director asked for it.",
  machine: "The most that this machine has time for.",
  streams: "Lower because other streams share the machine.",
  slow: "Lower because the machine is slower now than at the start.",
  tight: "Lowered in time, before frames would have come late.",
  late: "Lowered because frames came late.",
};

/**
 * @param {string} [why] what `stats` has of it; of a server that tells another reason nothing is said
 * @returns {string} empty where the video is at its best
 */
export const whyQuality = (why = "") => (Object.hasOwn(REASONS, why) ? REASONS[why] : "");
