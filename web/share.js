// @ts-check
/** Where a stream is watched and commanded from, ready to be copied. */

import { invitation } from "./invitation.js";

/** @typedef {{ name: string, text: string, note?: string, isSecret?: boolean, isLink?: boolean }} Line */
/** @typedef {{ title: string, lines: Line[] }} Group */

/**
 * @param {{ base: string, stream: string, token: string, size: [number, number] }} stream `base`: the page's own
 *   address, with a slash at its end
 * @returns {Group[]}
 */
export function shareLines({ base, stream, token, size }) {
  const watch = `${base}watch/${stream}`;
  const whep = `${base}whep/${stream}`;
  const ts = `${base}streams/${stream}/live.ts`;
  const [width, height] = size;
  return [
    {
      title: "Direct together",
      lines: [
        {
          name: "Invitation",
          text: invitation(base, stream, token),
          note: "Whoever opens it directs this stream with you.",
          isSecret: true,
        },
      ],
    },
    {
      title: "Watch",
      lines: [
        { name: "Watch page", text: watch, isLink: true, note: "The bare video, for a second screen or a friend." },
        { name: "WHEP", text: whep, note: "For WebRTC players." },
        { name: "MPEG-TS", text: ts, note: "For players without WebRTC." },
      ],
    },
    {
      title: "OBS",
      lines: [
        { name: "Browser source", text: watch, note: `Width ${width}, height ${height}.` },
        { name: "Media source", text: ts, note: "Local File off; Input Format mpegts." },
        { name: "Camera in (WHIP)", text: `${base}whip/${stream}`, note: "Settings, Stream: service WHIP, with this token:" },
        { name: "Bearer token", text: token, isSecret: true, note: "Who has it directs this stream." },
      ],
    },
    {
      title: "Command line",
      lines: [
        { name: "ffplay", text: `ffplay -fflags nobuffer -analyzeduration 500000 ${ts}` },
        { name: "ffmpeg, into a file", text: `ffmpeg -i ${ts} -c copy vivant.mp4` },
        {
          name: "GStreamer",
          text: `gst-launch-1.0 souphttpsrc is-live=true location=${ts} ! tsdemux ! h264parse ! openh264dec ! videoconvert ! autovideosink`,
        },
        { name: "VLC", text: `vlc --network-caching=300 ${ts}` },
      ],
    },
  ];
}
