"""SGD whose learning rate falls from the sixth epoch on; needs TensorFlow, for its exp.

For Keras itself, change the import to `from tensorflow import keras`, and the scheduler's last
line to `return float(lr * tf.math.exp(-0.1))`: Keras 3 refuses a learning rate that is a tensor.
"""

import tensorflow as tf

import minisgd as keras

Sequential, Dense = keras.models.Sequential, keras.layers.Dense
SGD = keras.optimizers.SGD
LearningRateScheduler = keras.callbacks.LearningRateScheduler

(x_train, y_train), (x_test, y_test) = keras.datasets.mnist.load_data()
x_train = x_train.reshape(-1, 784).astype("float32") / 255
x_test = x_test.reshape(-1, 784).astype("float32") / 255
y_train = keras.utils.to_categorical(y_train, 10)
y_test = keras.utils.to_categorical(y_test, 10)


def scheduler(epoch, lr):
    """Keep the rate for five epochs, then lower it by a tenth or so in each."""
    if epoch < 5:
        return lr
    return lr * tf.math.exp(-0.1)


model = Sequential(
    [
        Dense(128, activation="relu", input_shape=(784,)),
        Dense(10, activation="softmax"),
    ]
)
model.compile(
    optimizer=SGD(learning_rate=0.1),
    loss="categorical_crossentropy",
    metrics=["accuracy"],
)
model.fit(
    x_train,
    y_train,
    epochs=10,
    batch_size=32,
    callbacks=[LearningRateScheduler(scheduler)],
)

loss, accuracy = model.evaluate(x_test, y_test)
print(f"test accuracy {accuracy:.4f}")
