// Run by Chromium in the test page: hears for two seconds and says what.
(async () => {
    const { Player } = await import("/v1/audio/player.js");
    const sleep = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
    const player = new Player({ token: "secret", depth: 0.3 });
    await player.start();
    for (let tries = 0; tries < 100 && !player.node; tries++) await sleep(50);
    const analyser = player.context.createAnalyser();
    analyser.fftSize = 16384;
    player.node.connect(analyser);
    await sleep(2500);
    const spectrum = new Float32Array(analyser.frequencyBinCount);
    const wave = new Float32Array(analyser.fftSize);
    analyser.getFloatFrequencyData(spectrum);
    analyser.getFloatTimeDomainData(wave);
    const peak = (spectrum.indexOf(Math.max(...spectrum)) * player.context.sampleRate) / analyser.fftSize;
    // The analyser hears the mean of a loud and a silent channel.
    const level = 2 * Math.sqrt(wave.reduce((sum, x) => sum + x * x, 0) / wave.length);
    await sleep(300);
    return { ...player.figures(), peak, level };
})();
