// @ts-check
/**
 * The viewer's page: the video and nothing else, for an OBS browser source or a second screen. What is not video
 * is transparent, and so is everything until the first frame is there. Why there is none stands in the console, which
 * OBS logs, and in the title: nobody wants it on air.
 */

import { Viewer } from "./whep.js";

const stream = location.pathname.split("/").at(-1);

/** @returns {HTMLVideoElement} */
function makeVideo() {
  const video = document.createElement("video");
  video.autoplay = video.muted = video.playsInline = video.disablePictureInPicture = true;
  document.body.append(video);
  return video;
}

/** Takes the screen from whatever was there, once it has something to show: a new connection does not flicker. */
function show(/** @type {MediaStream} */ media) {
  document.title = "Vivant";
  const video = makeVideo();
  const onFirstFrame = () => {
    video.classList.add("shown");
    for (const other of document.querySelectorAll("video")) if (other !== video) other.remove();
  };
  if ("requestVideoFrameCallback" in video) video.requestVideoFrameCallback(onFirstFrame);
  else /** @type {HTMLVideoElement} */ (video).addEventListener("playing", onFirstFrame, { once: true });
  video.srcObject = media;
  video.play().catch(() => {}); // autoplay does the same where it may
}

function clear() {
  for (const video of document.querySelectorAll("video")) video.remove();
}

function tell(/** @type {string} */ reason) {
  console.warn(reason);
  document.title = `Vivant: ${reason}`;
}

const viewer = new Viewer(new URL(`../whep/${stream}`, location.href), { onVideo: show, onGone: clear, onFailure: tell });
addEventListener("pagehide", () => viewer.close());
addEventListener("pageshow", (event) => event.persisted && void viewer.run());
addEventListener("online", () => viewer.retryNow());
void viewer.run();
