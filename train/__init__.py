"""The model that the chat serves: QLoRA fine-tune, comparison of checkpoints, and a merge that is proved equal.

Commands: `python -m train.data`, `train.finetune`, `train.compare`, `train.merge`. Nothing imports this package.
"""
