"""train_judge: whoever recognises generated sounds learns to, from training clips alone."""

import shutil

import numpy as np
import torch
from tqdm import tqdm

from counterpoise import audio, catalog, checkpoint, classifiers, params, runtime, splits
from counterpoise.classifiers import training
from counterpoise.classifiers.embedder import Embedder
from counterpoise.judging import Judge
from stages import CLIPS, JUDGE, PRETRAINED, nothing, prune, run, working


def main() -> None:
    p = params.load()
    if not {"diffusion", "diffusion_classic"} & set(p.arms) and p.generate.keep == "all":
        return nothing(JUDGE, "no arm has generated sounds: nobody needs to recognise them")
    prune(JUDGE, keep=[])
    JUDGE.mkdir(parents=True, exist_ok=True)
    device = runtime.setup(p.runtime)
    labels = list(p.classes)

    # The training clips
    clips = catalog.read(CLIPS, catalog.CLIPS)
    clips = clips[splits.partition(clips, p.split, p.data) == "train"]
    examples = splits.examples(clips, None, catalog.sha256)

    # What an embedding is
    key = checkpoint.key(
        stage="train_judge", examples=examples.to_csv(), labels=labels, audio=p.audio, features=p.features,
        judge=p.judge, runtime=p.runtime,
    )
    with working(JUDGE, key) as folder:
        if p.judge.embedding == "own":
            settings = params.Classifier(
                seeds=[p.judge.seed], steps=p.judge.steps, batch_size=p.judge.batch_size,
                learning_rate=p.judge.learning_rate,
            )
            network = classifiers.build("cnn", len(labels), p.audio, p.features, settings, p.judge.seed)
            weights = training.class_weights(examples.label.tolist(), labels)
            training.train(
                network, examples, labels, p.audio, settings, p.runtime, device, p.judge.seed, weights,
                checkpoint.Checkpoint(folder / "cnn.pt"), lambda step, measured: None, None,
            )
            card = training.Card(
                model="cnn", labels=labels, audio=p.audio, features=p.features, classifier=settings
            )
            training.save(JUDGE / "cnn", network, card)
            embedder = Embedder.own(JUDGE / "cnn", device)
        else:
            shutil.copyfile(PRETRAINED, JUDGE / PRETRAINED.name)
            embedder = Embedder.audioset(JUDGE / PRETRAINED.name, device)

        # Who is who
        embedded = []
        for path in tqdm(examples.path, desc="judge", unit="clip"):
            wave = torch.from_numpy(audio.read(path, p.audio.sample_rate, p.audio.channels))
            embedded.append(embedder.embed(wave[None], p.audio.sample_rate)[0].numpy())
        Judge.fit(np.stack(embedded), examples, labels, embedder.name).save(JUDGE)


if __name__ == "__main__":
    run(main)
