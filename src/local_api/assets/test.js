// The test page: two buttons and the figures.

import { Player } from "/v1/audio/player.js";

const element = (id) => document.getElementById(id);
const token = new URLSearchParams(location.hash.slice(1)).get("token") ?? "";
let player = null;

element("start").onclick = async () => {
    player = new Player({ token });
    element("start").disabled = true;
    element("stop").disabled = false;
    await player.start();
};

element("stop").onclick = () => {
    player.stop();
    element("start").disabled = false;
    element("stop").disabled = true;
};

setInterval(() => {
    if (player) element("figures").textContent = JSON.stringify(player.figures(), null, 1);
}, 500);
